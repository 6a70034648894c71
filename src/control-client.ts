/**
 * Asks a running server over its control socket. Knows HTTP and says in one line why there is no answer; what an
 * answer means is the business of whoever asks.
 */
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Outcome } from './commands.ts';
import { errorCode, UserError } from './errors.ts';
import { http } from './http.ts';

/** How long a server may take to say who it is, or whether it leaves its path to us, in milliseconds. */
const LIMIT = 10_000;
/** How long it may take until all connections of a process that has ended are closed, in milliseconds. */
const GOING = 1_000;

/** What the server said. */
export interface Answer {
  status: number;
  /** The body as JSON gave it. */
  body: unknown;
}

/** A path that another server has left to us. */
export interface YieldedPath {
  /**
   * Tells that it is ours now, so that the other server goes. One that is gone by then need not hear it.
   *
   * @throws UserError if it does not hear it within ten seconds: it will take the path back.
   */
  confirm(): Promise<void>;
  /** Ends the matter: without `confirm` the other server takes the path back. May be called more than once. */
  release(): void;
}

/**
 * Sends one request and waits for the answer, for as long as it takes.
 *
 * @param path of the control socket.
 * @param url the path of what is asked for, encoded: `/scale/%2B1`.
 * @throws UserError if there is nobody to answer, or no answer; the signal's AbortError.
 */
export async function ask(
  path: string,
  method: 'GET' | 'POST',
  url: string,
  options: { signal?: AbortSignal } = {},
): Promise<Answer> {
  try {
    const { response } = await send(path, method, url, options);
    return { status: response.statusCode!, body: JSON.parse(await text(response)) };
  } catch (error) {
    throw explained(path, error as Error);
  }
}

/**
 * Asks a server who it is.
 *
 * @throws UserError if it does not answer within ten seconds, or is not one of ours.
 */
export async function askWho(path: string): Promise<{ pid: number; addresses: string[] }> {
  const signal = AbortSignal.timeout(LIMIT);
  try {
    const { body } = await ask(path, 'GET', '/status', { signal });
    const { arbiter, sockets } = (body ?? {}) as {
      arbiter?: { pid?: number };
      sockets?: { address: string }[];
    };
    if (typeof arbiter?.pid !== 'number' || !Array.isArray(sockets)) throw new SyntaxError('not a status');
    return { pid: arbiter.pid, addresses: sockets.map(({ address }) => address) };
  } catch (error) {
    throw signal.aborted ? silent(path) : explained(path, error as Error);
  }
}

/**
 * Asks the server to leave the path of its socket to us.
 *
 * @returns once it no longer guards the path; it stays so until the path is released, or this process ends.
 * @throws UserError if it refuses, with its reason, cannot be asked, or does not answer within ten seconds.
 */
export async function askToYield(path: string): Promise<YieldedPath> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), LIMIT);
  const { signal } = limit;
  try {
    const { response, end } = await send(path, 'POST', '/yield', { signal });
    const { ok, message } = outcomeIn(await firstLine(response));
    if (!ok) throw new UserError(`${path}: ${message}`);
    return {
      async confirm() {
        try {
          await ask(path, 'POST', '/yield/done', { signal: AbortSignal.timeout(LIMIT) });
        } catch (error) {
          // A process that ends closes one connection after the other.
          const until = performance.now() + GOING;
          while (!response.closed && performance.now() < until) await sleep(10);
          if (!response.closed) throw error instanceof UserError ? error : silent(path);
        }
      },
      release: end,
    };
  } catch (error) {
    throw signal.aborted ? silent(path) : explained(path, error as Error);
  } finally {
    clearTimeout(timer);
  }
}

function send(
  socketPath: string,
  method: string,
  path: string,
  options: { signal?: AbortSignal } = {},
): Promise<{ response: IncomingMessage; end: () => void }> {
  return new Promise((resolve, reject) => {
    const outgoing = http().request({ socketPath, method, path, agent: false, ...options });
    outgoing.on('response', (response) => resolve({ response, end: () => outgoing.destroy() }));
    // Stays for the whole connection: what happens after the answer concerns nobody.
    outgoing.on('error', reject);
    outgoing.end();
  });
}

/** The rest, if any, is read and dropped, so that the end of the connection is noticed. */
function firstLine(response: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = '';
    response.setEncoding('utf8');
    response.on('data', (chunk) => {
      if (!received.includes('\n')) received += chunk;
      if (received.includes('\n')) resolve(received);
    });
    response.on('end', () => resolve(received));
    response.on('error', reject);
  });
}

/** @throws SyntaxError for anything else: nobody's path is taken because somebody happened to answer. */
function outcomeIn(line: string): Outcome {
  const outcome = JSON.parse(line) as Outcome | null;
  if (typeof outcome?.ok !== 'boolean') throw new SyntaxError('not an outcome');
  return outcome;
}

/** Why there is no answer, by the code of the error. */
const REASONS: Record<string, (path: string) => string> = {
  ENOENT: (path) =>
    `no server is running behind ${path}: there is no such socket; say where it is with the --bind, --config or --control-socket of its start`,
  ENOTDIR: (path) => `no server is running behind ${path}: there is no such socket`,
  ECONNREFUSED: (path) => `no server is running behind ${path}: nobody listens there`,
  ENOTSOCK: (path) => `no server is running behind ${path}: it is not a socket`,
  EACCES: (path) => `${path}: no permission; only the user who runs the server may ask it (EACCES)`,
  EAGAIN: (path) => `${path}: the server does not take any more connections (EAGAIN)`,
  ECONNRESET: (path) => `${path}: the server went away before it answered`,
  EPIPE: (path) => `${path}: the server went away before it answered`,
};

const silent = (path: string) => new UserError(`${path}: the server does not answer`);

function explained(path: string, error: Error): Error {
  if (error instanceof UserError || error.name === 'AbortError') return error;
  const code = errorCode(error) ?? '';
  const reason = REASONS[code];
  if (reason) return new UserError(reason(path));
  if (error instanceof SyntaxError || code.startsWith('HPE_')) {
    return new UserError(`${path}: who listens there is not a fasticorn's control socket`);
  }
  return new UserError(`${path}: ${error.message}`);
}
