/**
 * Ends connections that nobody uses any more. Node would, by a timer that it makes and drops again for each request,
 * which was a thirtieth of what a small one costs; we look at all connections now and then. Knows what else Node does
 * about that time; which connections there are, and what goes on there, is the business of `connections.ts`.
 */
import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Connections } from './connections.ts';

export interface KeepAlive {
  connections: Pick<Connections, 'endUnused'>;
  /** Seconds that an unused connection stays open. */
  keepAlive: number;
}

/**
 * Looks for unused connections now and then, so that they stay for up to half of their time longer, and ten seconds at
 * most. It keeps no process alive.
 */
export function enforceKeepAlive({ connections, keepAlive }: KeepAlive): void {
  setInterval(() => connections.endUnused(keepAlive * 1000), Math.min(5000, keepAlive * 250)).unref();
}

/** Has Node leave the unused connections of a server to us. */
export function takeOverKeepAlive(server: Server): void {
  server.keepAliveTimeout = 0;
}

/** Whether that is so still: an app may give its server a time of its own once it listens, to which Node sees then. */
export function isKeepAliveOurs(server: Server): boolean {
  return server.keepAliveTimeout === 0;
}

/** Has an answer tell its client of the time, as Node does where it sees to it; no public name leads there. */
export function announceKeepAlive(response: ServerResponse, keepAlive: number): void {
  const given = response as { _keepAliveTimeout?: number };
  if (given._keepAliveTimeout === 0) given._keepAliveTimeout = keepAlive * 1000;
}

/** What an app allows for the silence of a connection, by itself or through `connectionTimeout`, is for requests only. */
export function dropTimeout(socket: Socket): void {
  if (socket.timeout) socket.setTimeout(0);
}

/** There is a request again, for which the server's own timeout counts. */
export function restoreTimeout(socket: Socket, { timeout }: Server): void {
  // A stream that an app has had the server take for a connection may know none.
  if (timeout) socket.setTimeout?.(timeout);
}
