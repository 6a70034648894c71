/**
 * Refuses requests whose line or header fields are longer or more than the operator allows, before the app sees them.
 * Node itself knows only one limit, for line and fields together, and drops fields beyond a number without a word.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Config } from '../config/settings.ts';
import { http } from '../http.ts';
import { streamOf } from './http2-stream.ts';
import { comesWithResponse, TUNNELS } from './request-events.ts';

/** Bytes and numbers; 0 for none. */
export type RequestLimits = Pick<Config, 'limitRequestLine' | 'limitRequestFields' | 'limitRequestFieldSize'>;

/** Has a server keep to the limits, if there are any. */
export function limitRequests(server: Server, limits: RequestLimits): void {
  const { limitRequestLine: line, limitRequestFields: fields, limitRequestFieldSize: size } = limits;
  if (!line && !fields && !size) return;
  const own = (server as { maxHeaderSize?: number }).maxHeaderSize ?? http().maxHeaderSize;
  // The longest line and a longest field have room beside all that Node allows anyway. Read for each connection.
  Object.assign(server, { maxHeaderSize: own + line + size });
  // One more is enough to see that there are too many.
  if (fields) server.maxHeadersCount = fields + 1;

  const emit = server.emit.bind(server);
  server.emit = (event: string, ...args: unknown[]): boolean => {
    const isRequest = comesWithResponse(event, args[0]);
    if (!isRequest && !TUNNELS.includes(event)) return emit(event, ...args);
    const request = args[0] as IncomingMessage;
    const status = refusal(request, limits, own + size);
    if (!status) return emit(event, ...args);
    if (isRequest) refuse(request, args[1] as ServerResponse, status);
    else refuseTunnel(args[1] as Duplex, status);
    return true;
  };
}

/**
 * The status to answer, or undefined for a request within the limits.
 *
 * @param most the bytes that all fields may have together: the room for a long line is not for them.
 */
function refusal(request: IncomingMessage, limits: RequestLimits, most: number): 414 | 431 | undefined {
  const { limitRequestLine: line, limitRequestFields: fields, limitRequestFieldSize: size } = limits;
  const { method = '', url = '', httpVersion, rawHeaders } = request;
  if (line && `${method} ${url} HTTP/${httpVersion}`.length > line) return 414;
  let [count, sum] = [0, 0];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    // What HTTP/2 has in place of a request line.
    if (rawHeaders[i]!.startsWith(':')) continue;
    const length = rawHeaders[i]!.length + rawHeaders[i + 1]!.length;
    if (size && length > size) return 431;
    count++;
    sum += length;
  }
  // Node keeps the fields of HTTP/2 apart anyway.
  const isOver = line > 0 && !streamOf(request) && sum > most;
  return (fields && count > fields) || isOver ? 431 : undefined;
}

function refuse(request: IncomingMessage, response: ServerResponse, status: number): void {
  const body = bodyFor(status);
  const isStream = streamOf(request) !== undefined;
  response.writeHead(status, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    ...(isStream ? {} : { Connection: 'close' }),
  });
  response.end(body);
}

function refuseTunnel(socket: Duplex, status: number): void {
  socket.on('error', () => {});
  socket.end(
    `HTTP/1.1 ${status} ${http().STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
  );
}

/** As Fastify words its errors. */
function bodyFor(status: number): string {
  const what =
    status === 414 ? 'the request line is too long' : 'the header fields are too many or too large';
  return JSON.stringify({ statusCode: status, error: http().STATUS_CODES[status], message: what });
}
