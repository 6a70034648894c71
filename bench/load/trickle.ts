/**
 * A light load of GETs and POSTs whose every answer is checked: to see what is lost, and which process answers. Its
 * clients are in this process, so that it needs no tool, and says nothing of how fast a server is.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import type { Endpoint } from '../model.ts';

const CONNECTIONS = 16;
/** Between two requests of a client, in milliseconds. */
const PAUSE = 5;
/** How long an answer may take, in milliseconds. */
const LIMIT = 10_000;
const BODY = Buffer.alloc(1024);

/** What came of it. */
export interface Trickled {
  sent: number;
  /** What became of each request that did not get its right answer. */
  lost: string[];
  /** When a process has answered for the last time, by its id; as `performance.now()`. */
  lastAnswer: Map<number, number>;
}

/** Sends requests until it is told to stop, and resolves when the last one has its answer. */
export async function trickle(endpoint: Endpoint, enough: AbortSignal): Promise<Trickled> {
  const limits = { connections: CONNECTIONS, headersTimeout: LIMIT, bodyTimeout: LIMIT };
  const pool =
    endpoint.kind === 'unix'
      ? new Pool('http://localhost', { ...limits, socketPath: endpoint.path })
      : new Pool(`http://127.0.0.1:${endpoint.port}`, limits);
  const result: Trickled = { sent: 0, lost: [], lastAnswer: new Map() };
  const client = async () => {
    while (!enough.aborted) {
      const isPost = result.sent++ % 2 === 1;
      try {
        if (isPost) await post(pool);
        else result.lastAnswer.set(await get(pool), performance.now());
      } catch (error) {
        result.lost.push(`${isPost ? 'POST' : 'GET'}: ${(error as Error).message}`);
      }
      await sleep(PAUSE);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, client));
  await pool.destroy();
  return result;
}

/** Returns the id of the process that answered. */
async function get(pool: Pool): Promise<number> {
  const { statusCode, body } = await pool.request({ method: 'GET', path: '/pid' });
  const text = await body.text();
  const pid = statusCode === 200 ? Number(/^\{"pid":(\d+)\}$/.exec(text)?.[1]) : Number.NaN;
  if (Number.isNaN(pid)) throw new Error(`${statusCode} ${text.slice(0, 80)}`);
  return pid;
}

async function post(pool: Pool): Promise<void> {
  const headers = { 'content-type': 'application/octet-stream' };
  const { statusCode, body } = await pool.request({ method: 'POST', path: '/upload', body: BODY, headers });
  const text = await body.text();
  if (statusCode !== 200 || text !== `{"bytes":${BODY.length}}`) {
    throw new Error(`${statusCode} ${text.slice(0, 80)}`);
  }
}
