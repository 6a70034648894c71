/**
 * Ends keep-alive connections that nobody uses any more. In the place of Node's own timeout, which sets a timer before
 * and after every request: here all connections are looked at now and then. Which of them are idle, and how they are
 * ended without loss, is the business of `connections.ts`.
 */
import type { Server, ServerResponse } from 'node:http';
import type { Connections } from './connections.ts';

/** How often connections are looked at, in milliseconds, if their time is longer than four times that. */
const LOOK_EVERY = 1_000;

/**
 * Has a server promise that time in its answers, as Node does, and leave the keeping of it to `endUnused`.
 *
 * @param keepAlive seconds.
 */
export function promiseKeepAlive(server: Server, keepAlive: number): void {
  server.keepAliveTimeout = 0;
  server.prependListener('request', (_request, response: ServerResponse & { _keepAliveTimeout?: number }) => {
    // Node copies the server's there, and writes the header from it.
    response._keepAliveTimeout = keepAlive * 1000;
  });
}

/**
 * Ends what has not been used for so many seconds, up to a quarter of that or a second later. It keeps no process alive.
 *
 * @returns what ends it.
 */
export function endUnused(connections: Connections, keepAlive: number): () => void {
  const time = keepAlive * 1000;
  const timer = setInterval(() => connections.endUnused(time), Math.min(LOOK_EVERY, Math.max(1, time / 4)));
  timer.unref();
  return () => clearInterval(timer);
}
