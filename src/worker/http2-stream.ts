/**
 * What tells requests of HTTP/2 from others. Not their version, which on HTTP/1 is whatever the client writes.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';

/** The stream that a request came on; undefined on HTTP/1. */
export function streamOf(request: IncomingMessage): ServerHttp2Stream | undefined {
  return request.httpVersionMajor > 1 ? (request as { stream?: ServerHttp2Stream }).stream : undefined;
}

/**
 * What stands for the request and the response of a stream that an app takes as such: as much of them as is read of those
 * that Node makes, which would answer by themselves as well.
 */
export function standInsFor(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): [IncomingMessage, ServerResponse] {
  const [method, url] = [headers[':method'], headers[':path']];
  const request = { stream, headers, method, url, httpVersionMajor: 2, socket: stream, complete: true };
  return [request, stream] as unknown as [IncomingMessage, ServerResponse];
}
