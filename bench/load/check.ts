/**
 * Whether a server answers a workload rightly: status, type, length, and body where it is known. Before a figure of it
 * counts, as a wrong answer may be a quick one.
 */
import { Agent, request } from 'node:http';
import type { Endpoint, Workload } from '../model.ts';

/** So often on one connection, so that a second request on it is seen as well. */
const TIMES = 5;
/** How long an answer may take, in milliseconds. */
const LIMIT = 10_000;

/**
 * Asks several times.
 *
 * @throws Error that says what is wrong.
 */
export async function check(endpoint: Endpoint, workload: Workload): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    for (let time = 0; time < TIMES; time++) {
      const problem = wrong(await ask(endpoint, workload, agent), workload.answer);
      if (problem) throw new Error(`${workload.method} ${workload.path}: ${problem}`);
    }
  } finally {
    agent.destroy();
  }
}

interface Answer {
  status: number;
  type: string;
  body: Buffer;
}

/** What is wrong with an answer; undefined if nothing is. */
function wrong({ status, type, body }: Answer, expected: Workload['answer']): string | undefined {
  if (status !== expected.status) return `status ${status} instead of ${expected.status}`;
  // Servers differ in whether they name the charset, and it makes no difference.
  if (type.split(';')[0] !== expected.type) return `type "${type}" instead of "${expected.type}"`;
  if (body.length !== expected.bytes) return `${body.length} bytes instead of ${expected.bytes}`;
  if (expected.body !== undefined && String(body) !== expected.body) return 'another body than is right';
  return undefined;
}

async function ask(endpoint: Endpoint, { method, path, upload }: Workload, agent: Agent): Promise<Answer> {
  const to =
    endpoint.kind === 'unix' ? { socketPath: endpoint.path } : { host: '127.0.0.1', port: endpoint.port };
  const body = upload === undefined ? undefined : Buffer.alloc(upload);
  const headers = body && { 'content-type': 'application/octet-stream', 'content-length': body.length };
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(LIMIT);
    request({ ...to, method, path, agent, signal, ...(headers ? { headers } : {}) }, async (response) => {
      try {
        const parts: Buffer[] = [];
        for await (const part of response) parts.push(part);
        const { statusCode = 0, headers: received } = response;
        resolve({
          status: statusCode,
          type: received['content-type'] ?? '',
          body: Buffer.concat(parts),
        });
      } catch (error) {
        reject(error);
      }
    })
      .on('error', reject)
      .end(body);
  });
}
