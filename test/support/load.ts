/**
 * A load in which every answer is checked: GETs and POSTs against test/apps/echo.mjs, or against an app that is asked
 * in a way of its own, over a socket or a port, bounded in time and count.
 */
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';

type Method = 'GET' | 'POST';

/** Sends one request, which the app is to answer after `delay` ms, and resolves to what is wrong with the answer. */
export type Ask = (pool: Pool, method: Method, delay: number) => Promise<string | undefined>;

export interface LoadOptions {
  /** `{ socketPath }` or `{ port }` on loopback. */
  to: { socketPath: string } | { port: number };
  connections?: number;
  /** Which requests; both by default, in turn. */
  methods?: readonly Method[];
  /** How the app is asked; as the echo by default. */
  ask?: Ask;
  /** How long each client waits before its next request, in milliseconds. */
  pause?: number;
  /** False opens a connection per request. */
  keepAlive?: boolean;
  /** Ends the load; it ends by itself after `seconds`. */
  signal?: AbortSignal;
  seconds?: number;
  /** At most so many requests. */
  count?: number;
  /** How long the app waits before it answers, in milliseconds. */
  delay?: number;
  /** How connections are made, where it is not as usual; what makes them is to be reached by https then if `secure`. */
  connect?: Pool.Options['connect'];
  secure?: boolean;
  /** Told at once of each request that did not get its right answer. */
  onBad?: (problem: string) => void;
}

export interface LoadResult {
  sent: number;
  good: number;
  /** What went wrong, one text for each request that did not get its right answer. */
  bad: string[];
  /** Requests that never reached the server: there was no socket, or nobody behind it. */
  refused: number;
}

/** Sends requests until it is told to stop, and resolves when the last one has its answer. */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const {
    connections = 16,
    methods = ['GET', 'POST'],
    keepAlive = true,
    ask = askEcho,
    pause = 0,
    seconds = 30,
    count = 200_000,
  } = options;
  const origin = `http${options.secure ? 's' : ''}://localhost${'port' in options.to ? `:${options.to.port}` : ''}`;
  const pool = new Pool(origin.replace('localhost', '127.0.0.1'), {
    connections,
    pipelining: keepAlive ? 1 : 0,
    headersTimeout: 60_000,
    bodyTimeout: 60_000,
    ...(options.connect ? { connect: options.connect } : {}),
    ...('socketPath' in options.to ? { socketPath: options.to.socketPath } : {}),
  });
  const result: LoadResult = { sent: 0, good: 0, bad: [], refused: 0 };
  const end = Date.now() + seconds * 1000;
  const running = () => !options.signal?.aborted && Date.now() < end && result.sent < count;

  const lost = (problem: string) => {
    result.bad.push(problem);
    options.onBad?.(problem);
  };
  const client = async () => {
    while (running()) {
      const method = methods[result.sent++ % methods.length]!;
      try {
        const problem = await ask(pool, method, options.delay ?? 0);
        if (problem) lost(problem);
        else result.good++;
        if (pause > 0) await sleep(pause);
      } catch (error) {
        const { code = '', message } = error as NodeJS.ErrnoException;
        if (code === 'ENOENT' || code === 'ECONNREFUSED') {
          result.refused++;
          await sleep(5);
        } else {
          lost(`${method}: ${code} ${message}`);
        }
      }
    }
  };
  await Promise.all(Array.from({ length: connections }, client));
  await pool.destroy();
  return result;
}

/** Asks what test/apps/echo.mjs answers. */
export async function askEcho(pool: Pool, method: Method, delay: number): Promise<string | undefined> {
  const token = randomBytes(8).toString('hex');
  if (method === 'GET') {
    const { statusCode, body } = await pool.request({ method, path: `/token/${token}?delay=${delay}` });
    const text = await body.text();
    return statusCode === 200 && text === `token ${token}`
      ? undefined
      : `GET: ${statusCode} ${text.slice(0, 80)}`;
  }
  const payload = randomBytes(1 + Math.floor(Math.random() * 16_384));
  const hash = createHash('sha256').update(payload).digest('hex');
  const { statusCode, body } = await pool.request({
    method,
    path: `/hash?delay=${delay}`,
    body: payload,
    headers: { 'content-type': 'application/octet-stream' },
  });
  const text = await body.text();
  return statusCode === 200 && text === hash ? undefined : `POST: ${statusCode} ${text.slice(0, 80)}`;
}
