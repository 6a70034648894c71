/**
 * One line per request, written when it is over. Knows what is in a line and keeps it short and harmless; how lines
 * reach the file is the business of `log.ts`.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Logger } from '../log.ts';

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

/** Has the log say what the framework made of a request, rather than what Node saw. */
export function remember(request: IncomingMessage, facts: RequestFacts): void {
  (request as { [kFacts]?: RequestFacts })[kFacts] = facts;
}

/** Writes a line to `log` for each request of the server. Call it when all of the app's listeners are in place. */
export function logRequests(server: Server, log: Logger): void {
  server.prependListener('request', begin);
  for (const event of ['checkContinue', 'checkExpectation'] as const) {
    if (server.listenerCount(event) > 0) server.prependListener(event, begin);
  }
  // A listener for upgrades where the app has none would change what Node does with them.
  if (server.listenerCount('upgrade') > 0) server.prependListener('upgrade', beginUpgrade);

  function begin(request: IncomingMessage, response: ServerResponse): void {
    const start = performance.now();
    const { socket } = request;
    const written = socket.bytesWritten;
    response.once('close', () => {
      const status = response.writableFinished ? response.statusCode : CLIENT_CLOSED_REQUEST;
      write(request, status, socket.bytesWritten - written, start);
    });
  }

  function beginUpgrade(request: IncomingMessage, socket: Duplex): void {
    const start = performance.now();
    const written = request.socket.bytesWritten;
    const status = statusOf(socket);
    socket.once('close', () => write(request, status(), request.socket.bytesWritten - written, start));
  }

  function write(request: IncomingMessage, status: number, bytes: number, start: number): void {
    const facts = (request as { [kFacts]?: RequestFacts })[kFacts];
    const { headers } = request;
    log.info({
      reqId: clip(String(facts?.id ?? headers['x-request-id'] ?? ''), LIMITS.reqId),
      method: clip(request.method ?? '', LIMITS.method),
      url: clip(request.url ?? '', LIMITS.url),
      status,
      bytes,
      ms: Math.round((performance.now() - start) * 1000) / 1000,
      remoteAddress: clip(facts?.ip ?? request.socket.remoteAddress ?? '', LIMITS.remoteAddress),
      userAgent: clip(headers['user-agent'] ?? '', LIMITS.userAgent),
      referer: clip(headers.referer ?? '', LIMITS.referer),
    });
  }
}

/** Reads the status that an app writes on an upgraded connection by itself: 101, or its refusal. */
function statusOf(socket: Duplex): () => number {
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
  // No character takes more than six bytes; most texts are short and plain.
  if (text.length * 6 <= most && !CONTROL.test(text)) return text;
  let bytes = 2;
  let clean = '';
  for (const character of text) {
    const code = character.codePointAt(0)!;
    const isControl = code < 0x20 || (code >= 0x7f && code < 0xa0);
    const shown = isControl ? `\\x${code.toString(16).padStart(2, '0')}` : character;
    bytes += Buffer.byteLength(JSON.stringify(shown)) - 2;
    if (bytes > most - 3) return `${clean}…`;
    clean += shown;
  }
  return clean;
}

const CONTROL = /[\x00-\x1f\x7f-\x9f]/;
