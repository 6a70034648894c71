/**
 * The open connections of HTTP servers and what happens on them: which are idle, which wait for an answer. Knows which may be
 * ended without loss; what a single one is like is in `connection.ts`, and when to end some is the business of `drain.ts`.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Http2Session, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type * as net from 'node:net';
import type { Socket } from 'node:net';
// Not the global of that name, which is looked up and asked for its value each time.
import { performance } from 'node:perf_hooks';
import type { Duplex } from 'node:stream';
import type { InFlight } from '../protocol.ts';
import { clip, requestId } from './access-log.ts';
import {
  abandon,
  announceEnd,
  type Connection,
  type Exchange,
  end,
  endGently,
  isIdle,
  isUnused,
  makeLast,
  type Phase,
} from './connection.ts';
import type { Entrance } from './entrance.ts';
import { standInsFor, streamOf } from './http2-stream.ts';
import { announceKeepAlive, dropTimeout, isKeepAliveOurs, restoreTimeout } from './keep-alive.ts';
import { lingerAtEnd } from './linger.ts';
import { LiveMap } from './live-map.ts';
import { carriedBy, connectionEvent, rawOf } from './peers.ts';
import { comesWithResponse, refusalOf, TUNNELS } from './request-events.ts';
import { isRefusal, onAbandoned, onAnswer } from './tunnel-answer.ts';

/** The most requests in flight that are listed. */
const MOST_LISTED = 100;
/** The most characters of a listed URL or id, and the quotes that `clip` counts as well. */
const MOST_SHOWN = 200 + 2;

/** Connections that no server is to see yet: see `entrance.ts`. */
export type Arrivals = Pick<Entrance, 'size' | 'busy' | 'lost' | 'endIdle' | 'destroyAll'>;

/** Called when a response is over, in whatever way. */
export type OnOver = (exchange: Exchange) => void;

/** Called when a connection becomes its app's own, before the app hears of it; `status` is what the app answers, once it has. */
export type OnTunnel = (request: IncomingMessage, socket: Duplex, status: () => number | undefined) => void;

export interface ConnectionsOptions {
  onOver?: OnOver | undefined;
  onTunnel?: OnTunnel | undefined;
  /** Count as connections as well, and are ended with them. */
  arrivals?: Arrivals | undefined;
  /** What clients are told of how long a connection stays open for their next request, in seconds; 0 for nothing. */
  keepAlive?: number;
}

/** Watches the connections of HTTP servers. */
export class Connections {
  readonly #open = new LiveMap<Socket, Connection>();
  readonly #sessions = new WeakMap<Http2Session, Connection>();
  readonly #onOver: OnOver | undefined;
  readonly #onTunnel: OnTunnel | undefined;
  readonly #arrivals: Arrivals | undefined;
  readonly #keepAlive: number;
  /** Since when we want to go; milliseconds of a monotonic clock. */
  #closingSince: number | undefined;
  #accepted = 0;
  #begun = 0;
  #over = 0;

  constructor({ onOver, onTunnel, arrivals, keepAlive = 0 }: ConnectionsOptions = {}) {
    this.#onOver = onOver;
    this.#onTunnel = onTunnel;
    this.#arrivals = arrivals;
    this.#keepAlive = keepAlive;
  }

  /** Watches a server from now on. */
  watch(server: Server): void {
    let newest: Connection | undefined;
    const arrival = connectionEvent(server);
    // A connection that TLS is about to hand out counts as well.
    if (arrival === 'secureConnection')
      server.prependListener('connection', (raw: Socket) => this.#add(raw, 'handshake'));
    server.prependListener(arrival, (socket: Socket) => {
      newest = this.#add(socket, 'requests', server);
      lingerAtEnd(newest);
    });
    // Emitted while the event above is, for a connection that speaks HTTP/2.
    server.on('session', (session: Http2Session) => {
      if (newest) this.#open2(newest, session);
    });
    // What Node answers by itself otherwise, unseen by us.
    if (server.listenerCount('checkExpectation') === 0) {
      server.on('checkExpectation', (_request, response) => {
        // An app may come to listen for it later.
        if (server.listenerCount('checkExpectation') === 1) response.writeHead(417).end();
      });
    }
    // Without a listener Node makes no request of a stream of HTTP/2. On HTTP/1 it does no harm.
    if (server.listenerCount('request') + server.listenerCount('stream') === 0)
      server.on('request', () => {});
    // Not one more listener: an event with two costs more, and an app may remove them all.
    const emit = server.emit.bind(server);
    server.emit = (event: string, ...args: unknown[]): boolean => {
      if (comesWithResponse(event, args[0])) {
        const request = args[0] as IncomingMessage;
        this.#begin(request, args[1] as ServerResponse);
        if (this.#closingSince !== undefined && !streamOf(request)) {
          // Whether its answer may be the last is known once Node's parser is through with what has come, bodies too,
          // and an app may answer within the event. Not in the next tick: Node lets those run before a body is complete.
          setImmediate(() => emit(event, ...args));
          return true;
        }
      } else if (event === 'stream' && server.listenerCount('request') === 0) {
        const [stream, headers] = args as [ServerHttp2Stream, IncomingHttpHeaders];
        this.#begin(...standInsFor(stream, headers));
      } else if (TUNNELS.includes(event))
        this.#handOver(event, args[0] as IncomingMessage, args[1] as Duplex);
      else if (event === 'clientError') this.#refuse(server, args[0] as Error, args[1] as Socket);
      return emit(event, ...args);
    };
  }

  /** Watches a server of another protocol: once its client has spoken, a connection is busy until it is closed. */
  watchRaw(server: net.Server): void {
    server.prependListener('connection', (socket: Socket) => this.#add(socket, 'requests'));
  }

  /** Connections accepted so far. */
  get accepted(): number {
    return this.#accepted + (this.#arrivals ? this.#arrivals.size + this.#arrivals.lost : 0);
  }

  /** Open connections. */
  get size(): number {
    return this.#open.size + (this.#arrivals?.size ?? 0);
  }

  /** Connections with a request in flight or half received, WebSockets and event streams among them. */
  get busy(): number {
    let busy = this.#arrivals?.busy ?? 0;
    for (const connection of this.#open.values())
      if (!connection.socket.destroyed && !isIdle(connection)) busy++;
    return busy;
  }

  /** Requests that are over. */
  get requests(): number {
    return this.#over;
  }

  /** Requests that are not over yet. */
  get inFlight(): number {
    return this.#begun - this.#over;
  }

  /** The requests in flight, the oldest first, at most 100. */
  listInFlight(): InFlight[] {
    const now = performance.now();
    return this.#open
      .values()
      .flatMap(({ pending }) => pending)
      .sort((one, other) => one.began - other.began)
      .slice(0, MOST_LISTED)
      .map((exchange) => this.describe(exchange, now));
  }

  /** What people are told about a request in flight. */
  describe({ request, method, url, began }: Exchange, now = performance.now()): InFlight {
    return {
      method,
      url: clip(url, MOST_SHOWN),
      id: clip(requestId(request), MOST_SHOWN),
      age: Math.round(now - began),
    };
  }

  /**
   * What has been in flight for longer than so many milliseconds; on HTTP/1 one request of each connection: the oldest,
   * since pipelined ones behind it cannot be answered before it.
   */
  overdue(longerThan: number): Exchange[] {
    const due = performance.now() - longerThan;
    const found: Exchange[] = [];
    for (const { pending, session } of this.#open.values()) {
      const first = session ? pending : pending.slice(0, 1);
      found.push(...first.filter(({ began }) => began <= due));
    }
    return found;
  }

  /** From now on every response says that it is the last on its connection. */
  closeAfterResponse(): void {
    this.#closingSince = performance.now();
    for (const connection of this.#open.values()) {
      if (connection.session) announceEnd(connection.session);
      for (const exchange of connection.pending) makeLast(connection, exchange);
    }
  }

  /** Ends connections that have been idle for so many milliseconds since `closeAfterResponse`. */
  endIdle(longerThan: number): void {
    const since = this.#closingSince;
    if (since === undefined) return;
    const due = performance.now() - longerThan;
    const found = this.#open
      .values()
      .filter((connection) => isIdle(connection) && Math.max(since, connection.idleSince) <= due);
    if (found.length === 0 && !this.#arrivals?.size) return;
    whenRead(() => {
      this.#arrivals?.endIdle(since, longerThan);
      for (const connection of found) if (isIdle(connection)) end(connection);
    });
  }

  /**
   * Ends connections that were used, wait for no answer, and on which nothing has come for so many milliseconds. To
   * be called again and again: that nothing comes is known from one call after the last answer to the next.
   */
  endUnused(longerThan: number): void {
    const now = performance.now();
    const found = this.#open.values().filter((connection) => {
      if (isUnused(connection)) return now - connection.silentSince >= longerThan;
      connection.seenBytes = connection.socket.bytesRead;
      connection.silentSince = now;
      return false;
    });
    if (found.length === 0) return;
    whenRead(() => {
      for (const connection of found) if (isUnused(connection)) endGently(connection);
    });
  }

  /** Cuts everything that is still open, and returns how many of them were not idle. Their requests are over then. */
  destroyAll(): number {
    const { busy } = this;
    this.#arrivals?.destroyAll();
    for (const connection of this.#open.values()) {
      (connection.session ?? connection.socket).destroy();
      this.#finishAll(connection);
    }
    return busy;
  }

  #add(socket: Socket, phase: Phase, server?: Server): Connection {
    const raw = rawOf(socket);
    if (raw && this.#open.get(raw)) this.#open.delete(raw);
    else this.#accepted++;
    const now = performance.now();
    const connection: Connection = {
      socket,
      phase,
      pending: [],
      // What was read already and is not waiting to be read again was no request.
      settledBytes: socket.bytesRead - socket.readableLength,
      idleSince: now,
      server,
      unfinished: undefined,
      isAnnounced: false,
      isReused: false,
      seenBytes: 0,
      // Not 0, of which V8 would think that all times are whole numbers, until the first one is none.
      silentSince: now,
    };
    this.#open.set(socket, connection);
    // It comes once, and `once` costs a wrapper and its removal; so too for each request below.
    socket.on('close', () => {
      this.#open.delete(socket);
      // Node closes the response that it was sending, and forgets those of pipelined requests behind it.
      this.#finishAll(connection);
    });
    return connection;
  }

  #open2(connection: Connection, session: Http2Session): void {
    connection.session = session;
    this.#sessions.set(session, connection);
    if (this.#closingSince !== undefined) announceEnd(session);
  }

  /** The connection of a request; on HTTP/2 many share one. */
  #of(request: IncomingMessage): Connection | undefined {
    const stream = streamOf(request);
    if (!stream) return this.#open.get(request.socket);
    const connection = stream.session && this.#sessions.get(stream.session);
    if (connection) carriedBy(request, connection.socket);
    return connection;
  }

  #begin(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#of(request);
    if (!connection) return;
    const { pending } = connection;
    // An app that is asked whether to continue hands the request on as another event, as Node's documentation has it.
    if (pending.length > 0 && pending.some((one) => one.response === response)) return;
    const { method = '', url = '' } = request;
    const exchange: Exchange = {
      request,
      response,
      method,
      url,
      began: performance.now(),
      refused: undefined,
    };
    pending.push(exchange);
    this.#begun++;
    if (this.#closingSince !== undefined) makeLast(connection, exchange);
    if (this.#keepAlive > 0) announceKeepAlive(response, this.#keepAlive);
    // Not for one behind another, for which the app may have set what it wants.
    if (connection.isReused && pending.length === 1) restoreTimeout(connection.socket, connection.server!);
    response.on('close', () => this.#finish(connection, exchange));
  }

  /** Node, or an app's framework, is about to answer in the place of what would have, and then ends the connection. */
  #refuse(server: Server, error: Error, socket: Socket): void {
    // Those behind it are not answered at all.
    const [first] = this.#open.get(socket)?.pending ?? [];
    if (first && !first.response.headersSent)
      first.refused = refusalOf(error, server.listenerCount('clientError') === 0);
  }

  #finishAll(connection: Connection): void {
    for (const exchange of [...connection.pending]) this.#finish(connection, exchange);
  }

  #finish(connection: Connection, exchange: Exchange): void {
    const { pending } = connection;
    const index = pending.indexOf(exchange);
    if (index < 0) return;
    const { request } = exchange;
    // Nearly always the only one, and `splice` makes an array each time.
    if (index === pending.length - 1) pending.pop();
    else pending.splice(index, 1);
    this.#over++;
    this.#settle(connection);
    // An answer that was given before the whole body had come: the rest of the body is no new request.
    if (!request.complete) {
      connection.unfinished = request;
      request.once('close', () => {
        connection.unfinished = undefined;
        this.#settle(connection);
      });
    }
    if (pending.length === 0) this.#letRest(connection);
    this.#onOver?.(exchange);
  }

  #settle(connection: Connection): void {
    // Of which it is what was written that counts.
    if (connection.phase === 'abandoned') return;
    connection.settledBytes = connection.socket.bytesRead;
    // Before that nobody asks: `endIdle` counts from then on at the earliest.
    if (this.#closingSince !== undefined) connection.idleSince = performance.now();
  }

  /** All that has come is answered, and it is up to the client whether there is more. */
  #letRest(connection: Connection): void {
    const { server, session, phase, socket } = connection;
    if (this.#keepAlive === 0 || !server || session || phase !== 'requests') return;
    connection.isReused = isKeepAliveOurs(server);
    if (!connection.isReused) return;
    // What was seen while there was a request is no silence.
    connection.seenBytes = -1;
    dropTimeout(socket);
  }

  /** A connection is an app's own from now on, whatever its requests so far. */
  #handOver(event: string, request: IncomingMessage, socket: Duplex): void {
    const connection = this.#of(request);
    // An app may hand the request on by the same event.
    if (connection?.phase !== 'requests') return;
    let status: number | undefined;
    // An answer that is complete may still have to be called over.
    const isLate = () => connection.pending.some(({ response }) => !response.writableEnded);
    onAnswer(socket, isLate, (answered) => {
      status = answered;
      if (isRefusal(event, status)) onAbandoned(socket, connection.socket, () => abandon(connection));
    });
    this.#onTunnel?.(request, socket, () => status);
    if (connection.isReused) restoreTimeout(connection.socket, connection.server!);
    connection.phase = 'tunnel';
  }
}

/** A request that has reached us but was not read yet shows within one turn of the event loop, and spares its connection. */
function whenRead(act: () => void): void {
  setImmediate(() => setImmediate(act));
}
