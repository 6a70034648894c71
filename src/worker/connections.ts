/**
 * The open connections of an HTTP server and what happens on each: which are idle, which wait for an answer. Knows
 * when a connection may be ended without loss; when that is to be done is the business of `drain.ts`.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { InFlight } from '../protocol.ts';
import { clip, requestId } from './access-log.ts';
import type { Entrance } from './entrance.ts';
import { join } from './join.ts';
import { connectionEvent } from './peers.ts';

/** The most requests in flight that are listed. */
const MOST_LISTED = 100;
/** The most characters of a listed URL or id, and the quotes that `clip` counts as well. */
const MOST_SHOWN = 200 + 2;

/** A request and its response, until that is over. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** When its headers had come; milliseconds of a monotonic clock. */
  readonly began: number;
}

/** One open connection. */
interface Connection {
  readonly socket: Socket;
  /** Exchanges that are not over yet, in the order of their requests. */
  readonly pending: Exchange[];
  /** What had been read when the last answer was finished: anything beyond it belongs to a request to come. */
  settledBytes: number;
  /** When the last answer was finished, or the connection was made; milliseconds of a monotonic clock. */
  idleSince: number;
}

/** Connections that no server is to see yet: see `entrance.ts`. */
export type Arrivals = Pick<Entrance, 'size' | 'busy' | 'lost' | 'endIdle' | 'destroyAll'>;

/** Called when a response is over, in whatever way; times are milliseconds of a monotonic clock. */
export type OnOver = (
  request: IncomingMessage,
  response: ServerResponse,
  began: number,
  over: number,
) => void;

/** Watches the connections of HTTP servers. */
export class Connections {
  readonly #open = new Map<Socket, Connection>();
  readonly #onOver: OnOver | undefined;
  readonly #arrivals: Arrivals | undefined;
  #closing = false;
  #accepted = 0;
  #begun = 0;
  #over = 0;

  /** @param arrivals count as connections as well, and are ended with them. */
  constructor(onOver?: OnOver, arrivals?: Arrivals) {
    this.#onOver = onOver;
    this.#arrivals = arrivals;
  }

  /** Watches a server from now on. */
  watch(server: Server): void {
    server.on(connectionEvent(server), (socket) => this.#add(socket));
    const begin = (request: IncomingMessage, response: ServerResponse) => this.begin(request, response);
    server.prependListener('request', begin);
    // What Node answers by itself otherwise, unseen by us.
    if (server.listenerCount('checkExpectation') === 0) {
      server.on('checkExpectation', (_request, response) => response.writeHead(417).end());
    }
    // Where somebody listens to these events, Node emits them instead of `request`.
    for (const instead of ['checkContinue', 'checkExpectation']) join(server, instead, begin);
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
    for (const connection of this.#open.values()) if (!isIdle(connection)) busy++;
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
    return [...this.#open.values()]
      .flatMap(({ pending }) => pending)
      .sort((one, other) => one.began - other.began)
      .slice(0, MOST_LISTED)
      .map((exchange) => this.describe(exchange, now));
  }

  /** What people are told about a request in flight. */
  describe({ request, began }: Exchange, now = performance.now()): InFlight {
    return {
      method: request.method ?? '',
      url: clip(request.url ?? '', MOST_SHOWN),
      id: clip(requestId(request), MOST_SHOWN),
      age: Math.round(now - began),
    };
  }

  /**
   * What has been in flight for longer than so many milliseconds, one request of each connection: the oldest, since
   * pipelined ones behind it cannot be answered before it.
   */
  overdue(longerThan: number): Exchange[] {
    const due = performance.now() - longerThan;
    const found: Exchange[] = [];
    for (const { pending } of this.#open.values()) {
      const oldest = pending[0];
      if (oldest && oldest.began <= due) found.push(oldest);
    }
    return found;
  }

  /** From now on every response says that it is the last on its connection. */
  closeAfterResponse(): void {
    this.#closing = true;
    for (const connection of this.#open.values()) {
      for (const exchange of connection.pending) makeLast(connection, exchange);
    }
  }

  /**
   * Ends connections that have been idle for a while, counted from `since` at the earliest. A request that has
   * reached us but was not read yet shows within one turn of the event loop, and spares its connection.
   */
  endIdle(since: number, longerThan: number): void {
    const due = performance.now() - longerThan;
    const found = [...this.#open.values()].filter(
      (connection) => isIdle(connection) && Math.max(since, connection.idleSince) <= due,
    );
    if (found.length === 0 && !this.#arrivals?.size) return;
    setImmediate(() =>
      setImmediate(() => {
        this.#arrivals?.endIdle(since, longerThan);
        for (const connection of found) if (isIdle(connection)) end(connection.socket);
      }),
    );
  }

  /** Cuts everything that is still open, and returns how many of them were not idle. */
  destroyAll(): number {
    const { busy } = this;
    this.#arrivals?.destroyAll();
    for (const { socket } of this.#open.values()) socket.destroy();
    return busy;
  }

  #add(socket: Socket): void {
    this.#accepted++;
    const connection: Connection = {
      socket,
      pending: [],
      // What was read already and is not waiting to be read again was no request.
      settledBytes: socket.bytesRead - socket.readableLength,
      idleSince: performance.now(),
    };
    this.#open.set(socket, connection);
    socket.once('close', () => {
      this.#open.delete(socket);
      // Node closes the response that it was sending, and forgets those of pipelined requests behind it.
      for (const exchange of [...connection.pending]) this.#end(connection, exchange);
    });
  }

  /** A request has come; to be called for those of which the server's listeners do not hear. */
  begin(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#open.get(request.socket);
    if (!connection) return;
    const exchange: Exchange = { request, response, began: performance.now() };
    connection.pending.push(exchange);
    this.#begun++;
    if (this.#closing) makeLast(connection, exchange);
    response.once('close', () => this.#end(connection, exchange));
  }

  #end(connection: Connection, exchange: Exchange): void {
    const index = connection.pending.indexOf(exchange);
    if (index < 0) return;
    const { request, response, began } = exchange;
    const now = performance.now();
    connection.pending.splice(index, 1);
    this.#over++;
    settle(connection, now);
    // An answer that was given before the whole body had come: the rest of the body is no new request.
    if (!request.complete) request.once('close', () => settle(connection, performance.now()));
    this.#onOver?.(request, response, began, now);
  }
}

/** FIN, and no waiting for a peer that may never send its own. */
function end(socket: Socket): void {
  socket.end(() => socket.destroy());
}

function settle(connection: Connection, now: number): void {
  connection.settledBytes = connection.socket.bytesRead;
  connection.idleSince = now;
}

function isIdle({ pending, socket, settledBytes }: Connection): boolean {
  return pending.length === 0 && socket.bytesRead === settledBytes;
}

/**
 * Has a response close its connection, if nothing speaks against it when its head is written: a pipelined request
 * that waits behind it, or a body that is still arriving, since closing with unread bytes would reset the connection
 * under the answer. Such a connection is ended when it is idle.
 */
function makeLast(connection: Connection, exchange: Exchange): void {
  const { request, response } = exchange;
  const writeHead = response.writeHead as (...args: unknown[]) => ServerResponse;
  Object.assign(response, {
    writeHead(...args: unknown[]) {
      if (request.complete && connection.pending.at(-1) === exchange) response.shouldKeepAlive = false;
      return writeHead.apply(response, args);
    },
  });
}
