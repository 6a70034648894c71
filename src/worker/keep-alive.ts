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
  /** Seconds that an unused connection stays open; 0 for any time. */
  keepAlive: number;
}

/**
 * Looks for unused connections now and then, and so ends them half of their time late at most, and ten seconds at most.
 * It keeps no process alive.
 */
export function enforceKeepAlive({ connections, keepAlive }: KeepAlive): void {
  if (keepAlive === 0) return;
  setInterval(() => connections.endUnused(keepAlive * 1000), Math.min(5000, keepAlive * 250)).unref();
}

/** Leaves it to us to end unused connections of a server, unless its app thinks otherwise later. */
export function takeOver(server: Server): void {
  server.keepAliveTimeout = 0;
}

/** Has an answer tell its client of the time, as Node does where it sees to it; no public name leads there. */
export function promise(response: ServerResponse, keepAlive: number): void {
  const given = response as { _keepAliveTimeout?: number };
  // An app that has set one after all has Node see to it.
  if (given._keepAliveTimeout === 0) given._keepAliveTimeout = keepAlive * 1000;
}

/** What an app allows for the silence of a connection, by itself or through `connectionTimeout`, is for requests only. */
export function rest(socket: Socket): void {
  if (socket.timeout) socket.setTimeout(0);
}

/** There is a request again, for which the server's own timeout counts. */
export function resume(socket: Socket, { timeout }: Server): void {
  if (timeout) socket.setTimeout(timeout);
}
