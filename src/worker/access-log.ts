/**
 * One line per request, written when it is over. Knows what is in a line and keeps it short and harmless; how lines
 * reach the file is the business of `log.ts`.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from '../log.ts';
import type { OnOver } from './connections.ts';
import { streamOf } from './http2-stream.ts';
import { join } from './join.ts';
import { clientOf, connectionOf } from './peers.ts';

/** What the framework knows better than Node about a request. */
export interface RequestFacts {
  readonly id: unknown;
  /** The client's address, as far as proxies are trusted. */
  readonly ip: string;
}

/**
 * The most bytes that a field may have in the line, quotes and escapes included. Together with the numbers and keys
 * they stay below 4,096 bytes, so that a line is never torn.
 */
const LIMITS = { reqId: 200, method: 40, url: 1800, remoteAddress: 100, userAgent: 700, referer: 900 };

/** The status of nginx for a client that went away before its answer was complete. */
const CLIENT_CLOSED_REQUEST = 499;

const kFacts = Symbol('fasticorn.facts');
const kLogged = Symbol('fasticorn.logged');

/** Has the log say what the framework made of a request, rather than what Node saw. */
export function remember(request: IncomingMessage, facts: RequestFacts): void {
  (request as { [kFacts]?: RequestFacts })[kFacts] = facts;
}

/** The id that the framework or, if that has not seen the request, the proxy gave. */
export function requestId(request: IncomingMessage): string {
  return String(
    (request as { [kFacts]?: RequestFacts })[kFacts]?.id ?? request.headers['x-request-id'] ?? '',
  );
}

/** Returns what writes the line of a request that is over. */
export function accessLine(log: Logger): OnOver {
  return (request, response, began, over) => write(log, request, statusOf(request, response), over - began);
}

/** Writes a line for each upgraded connection when it ends. */
export function logUpgrades(server: Server, log: Logger): void {
  join(server, 'upgrade', (request: IncomingMessage, socket: Duplex) => logUpgrade(request, socket, log));
}

/** Writes the line for an upgraded connection, or one that is refused to be, when it ends. */
export function logUpgrade(request: IncomingMessage, socket: Duplex, log: Logger): void {
  const began = performance.now();
  const status = statusWrittenTo(socket);
  socket.once('close', () => write(log, request, status(), performance.now() - began));
}

function write(log: Logger, request: IncomingMessage, status: number, ms: number): void {
  const facts = (request as { [kFacts]?: RequestFacts })[kFacts];
  const { headers } = request;
  log.info({
    reqId: clip(requestId(request), LIMITS.reqId),
    method: clip(request.method ?? '', LIMITS.method),
    url: clip(request.url ?? '', LIMITS.url),
    status,
    bytes: bytesSince(connectionOf(request)),
    ms: Math.round(ms * 1000) / 1000,
    remoteAddress: clip(facts?.ip ?? clientOf(request), LIMITS.remoteAddress),
    userAgent: clip(headers['user-agent'] ?? '', LIMITS.userAgent),
    referer: clip(headers.referer ?? '', LIMITS.referer),
  });
}

/** What was sent on a connection since this was last asked: answers go out one after the other, also to pipelined requests. */
function bytesSince(socket: Socket & { [kLogged]?: number }): number {
  const all = socket.bytesWritten;
  const bytes = all - (socket[kLogged] ?? 0);
  socket[kLogged] = all;
  return bytes;
}

/** The status that was sent, unless the client did not wait for all of it: an app may break off an answer as well. */
function statusOf(request: IncomingMessage, response: ServerResponse): number {
  const stream = streamOf(request);
  if (stream) return statusOfStream(request, stream, response);
  const { socket } = request;
  const clientLeft = (socket.readableEnded || socket.errored) && !response.errored;
  return response.writableFinished || (response.headersSent && !clientLeft)
    ? response.statusCode
    : CLIENT_CLOSED_REQUEST;
}

/**
 * On HTTP/2 a client resets its stream, after which Node ends the answer by itself, or goes with its connection, of
 * which the stream hears only later.
 */
function statusOfStream(
  request: IncomingMessage,
  { aborted, rstCode }: ServerHttp2Stream,
  response: ServerResponse,
): number {
  const { readableEnded, errored } = connectionOf(request);
  const isReset = aborted && rstCode !== 0;
  const clientLeft = isReset || (!response.writableFinished && (readableEnded || errored));
  return response.headersSent && !clientLeft ? response.statusCode : CLIENT_CLOSED_REQUEST;
}

/** Reads the status that an app writes on an upgraded connection by itself: 101, or its refusal. */
function statusWrittenTo(socket: Duplex): () => number {
  let status = CLIENT_CLOSED_REQUEST;
  for (const method of ['write', 'end'] as const) {
    const original = socket[method] as (...args: unknown[]) => unknown;
    Object.assign(socket, {
      [method](...args: unknown[]) {
        const match = /^HTTP\/1\.1 (\d{3})/.exec(String(args[0]).slice(0, 12));
        if (match) status = Number(match[1]);
        delete (socket as Partial<Duplex>).write;
        delete (socket as Partial<Duplex>).end;
        return original.apply(socket, args);
      },
    });
  }
  return () => status;
}

/**
 * Cuts a text so that it takes at most `most` bytes as a JSON string, and marks the cut with `…`. Control characters
 * are spelled out: they could forge a line, or speak to a terminal.
 */
export function clip(text: string, most: number): string {
  if (text.length <= most - 2 && PLAIN.test(text)) return text;
  let bytes = 2;
  // Where to cut, should the text turn out to be too long: the last place that leaves room for the mark.
  let room = 0;
  let clean = '';
  for (const character of text) {
    const code = character.codePointAt(0)!;
    const isControl = code < 0x20 || (code >= 0x7f && code < 0xa0);
    const shown = isControl ? `\\x${code.toString(16).padStart(2, '0')}` : character;
    bytes += Buffer.byteLength(JSON.stringify(shown)) - 2;
    if (bytes > most) return `${clean.slice(0, room)}…`;
    clean += shown;
    if (bytes <= most - MARK_BYTES) room = clean.length;
  }
  return clean;
}

/** Nothing here needs more than a byte in JSON, nor speaks to a terminal. */
const PLAIN = /^[ !#-[\]-~]*$/;
const MARK_BYTES = Buffer.byteLength('…');
