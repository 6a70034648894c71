/**
 * One open connection of an HTTP server: whether it is idle or unused, and how it is ended without loss. Knows nothing of the
 * others, which `connections.ts` keeps.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Http2Session } from 'node:http2';
import type { Socket } from 'node:net';

/** A request and its response, until that is over. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** As they came: those of the request are changed by routers and the like. */
  readonly method: string;
  readonly url: string;
  /** When its headers had come; milliseconds of a monotonic clock. */
  readonly began: number;
  /** The status with which it was refused in the middle, past the response: its client broke the protocol, or was too slow. */
  refused: number | undefined;
}

/** The largest number that a stream of HTTP/2 can have: none is refused. */
const ANY_STREAM = 2 ** 31 - 1;

/**
 * What a connection is for at the moment:
 *
 * - `handshake`: to become another one. Once TLS is agreed upon, another socket takes its place.
 * - `requests`: for those that come, one behind the other or, on HTTP/2, beside each other.
 * - `tunnel`: what its app likes. It was upgraded.
 * - `abandoned`: for nothing any more, unless its app writes again after it had refused an upgrade, and was silent since.
 * - `lingering`: only so that its client is not cut off while it is still sending: see `linger.ts`. It is ended already.
 */
export type Phase = 'handshake' | 'requests' | 'tunnel' | 'abandoned' | 'lingering';

/** One open connection. */
export interface Connection {
  readonly socket: Socket;
  phase: Phase;
  /** Absent for HTTP/1. */
  session?: Http2Session;
  /** Exchanges that are not over yet, in the order of their requests. */
  readonly pending: Exchange[];
  /**
   * What had been read when the last answer was finished: anything beyond it belongs to a request to come. Of an abandoned
   * one, what had been written then.
   */
  settledBytes: number;
  /** When the connection was made or, while we want to go, was settled last; milliseconds of a monotonic clock. */
  idleSince: number;
  /** By whom its requests are handed out; absent for a server that knows none. */
  readonly server: Server | undefined;
  /** Was answered before its whole body had come, which may be coming still. */
  unfinished: IncomingMessage | undefined;
  /** HTTP/2, and its client was told that there is an end to it. */
  isAnnounced: boolean;
  /** HTTP/1, and has had an answer, so that there may be another request, and we see to it if there is none. */
  isReused: boolean;
  /** What had been read when `endUnused` last looked, and since when no more has been; milliseconds as above. */
  seenBytes: number;
  silentSince: number;
}

/** Ends a connection that nobody uses; on HTTP/2 when its client has had a while to hear of that, and to use another. */
export function endGently(connection: Connection): void {
  const { session, isAnnounced } = connection;
  if (!session || isAnnounced) end(connection);
  else announceEnd(session);
  connection.isAnnounced = true;
}

/** FIN, and no waiting for a peer that may never send its own. */
export function end({ socket, session }: Connection): void {
  if (session) session.close();
  else socket.end(() => socket.destroy());
}

/** A connection that was refused to be a tunnel is of no use any more, unless its app writes there again. */
export function abandon(connection: Connection): void {
  connection.phase = 'abandoned';
  connection.settledBytes = connection.socket.bytesWritten;
  connection.idleSince = performance.now();
}

/** GOAWAY of the kind that refuses nothing (RFC 9113, 6.8): the client opens no more streams, those on their way count. */
export function announceEnd(session: Http2Session): void {
  if (!session.closed && !session.destroyed) session.goaway(0, ANY_STREAM);
}

export function isIdle({ phase, pending, session, socket, settledBytes }: Connection): boolean {
  if (pending.length > 0) return false;
  switch (phase) {
    case 'requests':
      // On HTTP/2 much is read that is no request; one that is missed is refused in a way that lets it be sent again.
      return session !== undefined || socket.bytesRead === settledBytes;
    case 'tunnel':
      return false;
    case 'abandoned':
      return socket.bytesWritten === settledBytes;
    case 'handshake':
    case 'lingering':
      return true;
  }
}

/** As of the last look. Half a request, or half the rest of one that is answered, does not count as use. */
export function isUnused({ phase, pending, session, isReused, socket, seenBytes }: Connection): boolean {
  if (phase !== 'requests' || pending.length > 0) return false;
  return (isReused || session !== undefined) && socket.bytesRead === seenBytes;
}

/**
 * Has a response close its connection, if nothing speaks against it when its head is written: a pipelined request that
 * waits behind it, or a body that is still arriving, whose rest would have little time. Such a connection is ended when it
 * is idle.
 */
export function makeLast(connection: Connection, exchange: Exchange): void {
  if (connection.session) return;
  const { request, response } = exchange;
  const writeHead = response.writeHead as (...args: unknown[]) => ServerResponse;
  Object.assign(response, {
    writeHead(...args: unknown[]) {
      if (request.complete && connection.pending.at(-1) === exchange) response.shouldKeepAlive = false;
      return writeHead.apply(response, args);
    },
  });
}
