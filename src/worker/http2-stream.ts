/**
 * What tells requests of HTTP/2 from others. Not their version, which on HTTP/1 is whatever the client writes.
 */
import type { IncomingMessage } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';

/** The stream that a request came on; undefined on HTTP/1. */
export function streamOf(request: IncomingMessage): ServerHttp2Stream | undefined {
  return request.httpVersionMajor > 1 ? (request as { stream?: ServerHttp2Stream }).stream : undefined;
}
