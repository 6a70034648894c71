/**
 * By which events a server of Node hands out what its clients ask for.
 */
import type { IncomingMessage } from 'node:http';
import { streamOf } from './http2-stream.ts';

/** With a request and a response; the latter ones instead of the first, where somebody listens to them. */
export const REQUESTS: readonly string[] = ['request', 'checkContinue', 'checkExpectation'];

/** With a request and its connection, which is the listener's from then on. */
export const TUNNELS: readonly string[] = ['upgrade', 'connect'];

/** Whether an event comes with a response: on HTTP/2, where a tunnel is one stream among others, `connect` does as well. */
export function comesWithResponse(event: string, request: unknown): boolean {
  return (
    REQUESTS.includes(event) || (event === 'connect' && streamOf(request as IncomingMessage) !== undefined)
  );
}
