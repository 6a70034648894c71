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

/**
 * The status by which Node refuses what broke off in an error, or Fastify in its place; undefined where that is the client's
 * doing, who has ended the connection.
 */
export function refusalOf({ code = '' }: NodeJS.ErrnoException, byNode: boolean): number | undefined {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 408;
    case 'HPE_HEADER_OVERFLOW':
      return 431;
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return byNode ? 413 : 400;
    case 'HPE_INVALID_EOF_STATE':
      return undefined;
    default:
      return code.startsWith('HPE_') ? 400 : undefined;
  }
}
