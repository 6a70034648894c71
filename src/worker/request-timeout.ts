/**
 * Gives up requests that take too long: 503 where nothing was answered yet, an end of the connection elsewhere. The
 * worker and whatever the app still does with such a request live on. Knows how to answer in the app's place and how
 * to make that harmless for it; which requests there are is the business of `connections.ts`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from '../log.ts';
import type { Connections } from './connections.ts';
import { streamOf } from './http2-stream.ts';

export interface RequestTimeout {
  connections: Connections;
  /** Seconds that a request may take; 0 for any time. */
  timeout: number;
  log: Logger;
}

/**
 * Looks at the requests in flight now and then, up to a second late. It keeps no process alive.
 *
 * @returns what ends it.
 */
export function enforceRequestTimeout({ connections, timeout, log }: RequestTimeout): () => void {
  if (timeout <= 0) return () => {};
  const message = `the request took longer than ${timeout} s`;
  const timer = setInterval(
    () => {
      for (const exchange of connections.overdue(timeout * 1000)) {
        const { request, response } = exchange;
        const { method, url, id, age } = connections.describe(exchange);
        const outcome = giveUp(request, response, message);
        log.warn({ reqId: id, req: { method, url }, age }, `${message}: ${outcome}`);
      }
    },
    Math.min(1000, timeout * 250),
  );
  timer.unref();
  return () => clearInterval(timer);
}

function giveUp(request: IncomingMessage, response: ServerResponse, message: string): string {
  // On HTTP/2 it stands for the stream.
  const { socket } = request;
  const isStream = streamOf(request) !== undefined;
  if (!response.headersSent && socket.writable) {
    try {
      answer(response, message, isStream);
      if (!isStream) abortAtEnd(request);
      return 'answered 503';
    } catch {
      // A response that the app has changed beyond use.
    }
  }
  socket.destroy();
  if (isStream) return 'its stream was cut';
  return 'its connection was cut';
}

/** Node forgets a request that is answered, and who still reads it would wait for ever, having answered nothing. */
function abortAtEnd(request: IncomingMessage): void {
  request.socket.once('close', () => {
    if (!request.complete) request.destroy(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }));
  });
}

/** What an app calls on a response to give its answer; each fails, or throws, once there is one. */
const METHODS = [
  'setHeader',
  'setHeaders',
  'appendHeader',
  'removeHeader',
  'flushHeaders',
  'writeHead',
  'writeHeader',
  'writeContinue',
  'writeProcessing',
  'writeEarlyHints',
  'writeInformation',
  'addTrailers',
  'write',
  'end',
  'destroy',
] as const;

/** Gives the answer that Fastify would give for such an error, then makes the response deaf. */
function answer(response: ServerResponse, message: string, isStream: boolean): void {
  // What the app's middleware put in their place would change this answer, or wait for another.
  for (const method of METHODS) delete (response as unknown as Record<string, unknown>)[method];
  for (const name of response.getHeaderNames()) response.removeHeader(name);
  response.sendDate = true;
  const body = JSON.stringify({ statusCode: 503, error: 'Service Unavailable', message });
  // HTTP/2 has no such words.
  if (!isStream) response.statusMessage = 'Service Unavailable';
  response.writeHead(503, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    ...(isStream ? {} : { Connection: 'close' }),
  });
  response.end(body);
  deafen(response);
}

/**
 * Has a response that was answered in the app's place take whatever the app still gives it, and drop it. Nothing
 * throws, nothing is an error, callbacks are called, and what is piped into it runs dry rather than wait for ever.
 */
function deafen(response: ServerResponse): void {
  const { socket, statusCode } = response;
  for (const method of METHODS) {
    Object.assign(response, {
      [method](...args: unknown[]) {
        const callback = args.at(-1);
        if (typeof callback === 'function') process.nextTick(callback as () => void);
        return response;
      },
    });
  }
  const { write } = response as unknown as { write(...args: unknown[]): unknown };
  Object.assign(response, {
    write(...args: unknown[]) {
      write(...args);
      // In the next turn, so that a source without end leaves room for everything else.
      setImmediate(() => response.emit('drain'));
      return false;
    },
  });
  // The access log is yet to read the status. Node takes the socket away when the answer is out, and an app would
  // fail on `response.socket.setTimeout()`.
  keep(response, 'statusCode', statusCode);
  keep(response, 'socket', socket);
}

/** Has a property keep its value, also when something else is assigned to it. */
function keep(response: ServerResponse, property: 'statusCode' | 'socket', value: unknown): void {
  Object.defineProperty(response, property, { get: () => value, set() {}, configurable: true });
}
