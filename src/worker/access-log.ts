/**
 * One line per request, written when it is over. Knows what is in a line and keeps it short and harmless; how lines
 * reach the file is the business of `log.ts`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
// Not the global of that name, which is looked up and asked for its value each time.
import { performance } from 'node:perf_hooks';
import { type LineBuffer, PLAIN } from '../line-buffer.ts';
import type { Exchange } from './connection.ts';
import type { OnOver, OnTunnel } from './connections.ts';
import { streamOf } from './http2-stream.ts';
import { clientOf, connectionOf } from './peers.ts';

/** What the framework knows better than Node about a request. */
export interface RequestFacts {
  readonly id: unknown;
  /** The client's address, as far as proxies are trusted; absent where it trusts those that we do. */
  readonly ip?: string;
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

/** Returns what makes the same ids for requests, and has the log say them. */
export function noted<R, I>(make: (request: R) => I): (request: R) => I {
  return (request) => {
    const id = make(request);
    remember(request as IncomingMessage, { id });
    return id;
  };
}

/** The id that the framework or, if that has not seen the request, the proxy gave. */
export function requestId(request: IncomingMessage): string {
  return String(
    (request as { [kFacts]?: RequestFacts })[kFacts]?.id ?? request.headers['x-request-id'] ?? '',
  );
}

/** Returns what writes the line of a request that is over. */
export function accessLine(log: LineBuffer): OnOver {
  return (exchange) => write(log, exchange, statusOf(exchange));
}

/** Returns what writes the line of an upgraded connection, or one that is refused to be, when it ends. */
export function tunnelLine(log: LineBuffer): OnTunnel {
  return (request, socket, status) => {
    const { method = '', url = '' } = request;
    const began = performance.now();
    socket.once('close', () =>
      write(log, { request, method, url, began }, status() ?? CLIENT_CLOSED_REQUEST),
    );
  };
}

function write(
  log: LineBuffer,
  { request, method, url, began }: Pick<Exchange, 'request' | 'method' | 'url' | 'began'>,
  status: number,
): void {
  const over = performance.now();
  const { headers } = request;
  const socket = connectionOf(request);
  log.begin().add(head(Math.floor(over)));
  addQuotable(log, requestId(request), LIMITS.reqId);
  log.add(beforeUrl(method));
  addQuotable(log, url, LIMITS.url);
  log.add(beforeMs(status, bytesSince(socket)));
  log.addThousandths(Math.round((over - began) * 1000));
  log.add(tail(addressOf(request, socket), headers['user-agent'] ?? '', headers.referer ?? '')).end();
}

// Most of a line is as in the one before, so its pieces are kept until they would be others. One function per piece: a
// shared one would compare values of any type, which V8 does more slowly.

/** Asks for the time of day once a millisecond of the clock that requests are measured by. */
function head(over: number): Buffer {
  if (over !== lastHead.over) lastHead = makeHead(over);
  return lastHead.bytes;
}

const makeHead = (over: number) => ({
  over,
  bytes: ascii(`{"level":30,"time":${Date.now()},"pid":${process.pid},"reqId":"`),
});
let lastHead = makeHead(0);

function beforeUrl(method: string): Buffer {
  if (method !== lastBeforeUrl.method) lastBeforeUrl = makeBeforeUrl(method);
  return lastBeforeUrl.bytes;
}

const makeBeforeUrl = (method: string) => ({
  method,
  bytes: ascii(`","method":"${quotable(method, LIMITS.method)}","url":"`),
});
let lastBeforeUrl = makeBeforeUrl('');

function beforeMs(status: number, bytesSent: number): Buffer {
  const { status: lastStatus, bytesSent: lastSent } = lastBeforeMs;
  if (status !== lastStatus || bytesSent !== lastSent) lastBeforeMs = makeBeforeMs(status, bytesSent);
  return lastBeforeMs.bytes;
}

const makeBeforeMs = (status: number, bytesSent: number) => ({
  status,
  bytesSent,
  bytes: ascii(`","status":${status},"bytes":${bytesSent},"ms":`),
});
let lastBeforeMs = makeBeforeMs(0, 0);

function tail(address: string, agent: string, referer: string): Buffer {
  const last = lastTail;
  if (address !== last.address || agent !== last.agent || referer !== last.referer)
    lastTail = makeTail(address, agent, referer);
  return lastTail.bytes;
}

const makeTail = (address: string, agent: string, referer: string) => ({
  address,
  agent,
  referer,
  bytes: ascii(
    `,"remoteAddress":"${quotable(address, LIMITS.remoteAddress)}"` +
      `,"userAgent":"${quotable(agent, LIMITS.userAgent)}","referer":"${quotable(referer, LIMITS.referer)}"}\n`,
  ),
});
let lastTail = makeTail('', '', '');

/** The client; where nobody has forwarded a request, asking the framework would only cost time. */
function addressOf(request: IncomingMessage, socket: Socket): string {
  const own = request.headers['x-forwarded-for'] === undefined && socket.remoteAddress;
  return own || ((request as { [kFacts]?: RequestFacts })[kFacts]?.ip ?? clientOf(request));
}

/** Adds a text as JSON has it between quotes, in ASCII. The quotes are part of the pieces around it. */
function addQuotable(log: LineBuffer, text: string, most: number): void {
  const isAdded = text.length <= most - 2 && log.addPlain(text);
  if (!isAdded) log.add(ascii(quotable(text, most)));
}

function ascii(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

function quotable(text: string, most: number): string {
  return isShortAndPlain(text, most) ? text : inAscii(clip(text, most, bytesInAscii)).slice(1, -1);
}

function inAscii(text: string): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(text).replace(/[^\x00-\x7f]/g, escaped);
}

function bytesInAscii(shown: string): number {
  return inAscii(shown).length - 2;
}

/**
 * What was sent on a connection since this was last asked; of pipelined requests Node sends an answer before it says that
 * the one before is over.
 */
function bytesSince(socket: Socket & { [kLogged]?: number; _bytesDispatched?: number }): number {
  // Not Node's sum of that and of what waits to be sent, for which it copies a list: a fortieth of a small answer. A
  // stream that an app has had the server take for a connection counts nothing.
  const all = socket._bytesDispatched ?? socket.bytesWritten ?? 0;
  const bytes = all - (socket[kLogged] ?? 0);
  socket[kLogged] = all;
  return bytes;
}

/** The status that was sent, unless the client did not wait for all of it: an app may break off an answer as well. */
function statusOf({ request, response, refused }: Exchange): number {
  const stream = streamOf(request);
  if (stream) return statusOfStream(request, stream, response);
  // An answer that was complete only after that has reached nobody, unless the app has left the connection open for it.
  if (refused !== undefined && (!response.writableFinished || request.socket.destroyed)) return refused;
  if (response.writableFinished) return response.statusCode;
  // Of a pipelined request behind an answer that was the last of its connection: nothing of its own was sent.
  if (!response.socket && response.writableLength > 0) return CLIENT_CLOSED_REQUEST;
  const { socket } = request;
  const clientLeft = (socket.readableEnded || socket.errored) && !response.errored;
  return response.headersSent && !clientLeft ? response.statusCode : CLIENT_CLOSED_REQUEST;
}

/**
 * On HTTP/2 a client resets its stream, after which Node ends the answer by itself, or goes with its connection, of
 * which the stream hears only later.
 */
function statusOfStream(
  request: IncomingMessage,
  { aborted, rstCode, sentHeaders }: ServerHttp2Stream,
  response: ServerResponse,
): number {
  const { readableEnded, errored } = connectionOf(request);
  const isReset = aborted && rstCode !== 0;
  const clientLeft = isReset || (!response.writableFinished && (readableEnded || errored));
  if (!response.headersSent || clientLeft) return CLIENT_CLOSED_REQUEST;
  // An app may answer on the stream itself, of which the response knows nothing.
  return Number(sentHeaders?.[':status'] ?? response.statusCode);
}

/**
 * Cuts a text so that it takes at most `most` bytes as a JSON string, and marks the cut with `…`. Control characters
 * are spelled out: they could forge a line, or speak to a terminal.
 *
 * @param bytesOf what a character takes between the quotes; in UTF-8 unless it is said.
 */
export function clip(text: string, most: number, bytesOf = bytesInUtf8): string {
  if (isShortAndPlain(text, most)) return text;
  let bytes = 2;
  // Where to cut, should the text turn out to be too long: the last place that leaves room for the mark.
  let room = 0;
  let clean = '';
  for (const character of text) {
    const code = character.codePointAt(0)!;
    const isControl = code < 0x20 || (code >= 0x7f && code < 0xa0);
    const shown = isControl ? `\\x${code.toString(16).padStart(2, '0')}` : character;
    bytes += bytesOf(shown);
    if (bytes > most) return `${clean.slice(0, room)}…`;
    clean += shown;
    if (bytes <= most - bytesOf('…')) room = clean.length;
  }
  return clean;
}

function isShortAndPlain(text: string, most: number): boolean {
  return text.length <= most - 2 && PLAIN.test(text);
}

function bytesInUtf8(shown: string): number {
  return Buffer.byteLength(JSON.stringify(shown)) - 2;
}
