/**
 * What a connection has to pass before an HTTP server sees it: the PROXY protocol's header, then the TLS handshake.
 * Works for every server, as Node's take connections from outside. Knows who waits there, so that a stop neither
 * forgets nor waits for them; how a stop goes is the business of `drain.ts`.
 */
import type { Server, Socket } from 'node:net';
import * as tls from 'node:tls';
import type { Address } from '../address.ts';
import type { Logger } from '../log.ts';
import type { TlsIdentity } from '../protocol.ts';
import { LiveMap } from './live-map.ts';
import { membershipIn } from './networks.ts';
import { connectionEvent, isOverTcp, markSocket, nameClient, rawOf } from './peers.ts';
import { ProxyHeaderError, readProxyHeader } from './proxy-header.ts';

/** How long a connection may take to come in, in milliseconds: as long as Node waits for a request's headers. */
const PATIENCE = 60_000;
/** Of connections that are turned away, at most one in this time is told as a warning, in milliseconds. */
const WARN_EVERY = 60_000;

/** What is asked of connections. */
export interface EntranceOptions {
  /** The networks that may speak the PROXY protocol; absent if nobody does. */
  proxies?: readonly string[] | undefined;
  /** For TLS on TCP; absent for none. */
  identity?: TlsIdentity | undefined;
  log: Logger;
  /** Whether TLS clients are offered HTTP/2. */
  http2?: boolean;
  /** In place of 60 s, in milliseconds. */
  patience?: number;
}

/** A connection that has not come in yet. */
interface Visitor {
  readonly enter: (socket: Socket) => void;
  readonly timer: NodeJS.Timeout;
  readonly since: number;
  /** What was read of it that asks for nothing: the header of a proxy, which may come long before its client's bytes. */
  settledBytes: number;
  /** Whether its TLS handshake is under way. */
  isShaking: boolean;
}

/** Lets connections in. */
export class Entrance {
  readonly #log: Logger;
  readonly #patience: number;
  readonly #http2: boolean;
  readonly #isProxy: ((address: string | undefined) => boolean) | undefined;
  readonly #tls: tls.Server | undefined;
  readonly #waiting = new LiveMap<Socket, Visitor>();
  #lost = 0;
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor({ proxies, identity, log, http2 = false, patience = PATIENCE }: EntranceOptions) {
    this.#log = log;
    this.#patience = patience;
    this.#http2 = http2;
    this.#isProxy = proxies && membershipIn(proxies);
    this.#tls = identity && this.#secure(identity);
  }

  /**
   * Has every connection that a server accepts, or is given, pass here before anybody hears of it.
   *
   * @param own the address that the server itself accepts on.
   */
  guard(server: Server, own: Address): void {
    const emit = server.emit.bind(server);
    server.emit = (event: string, ...args: unknown[]): boolean => {
      if (event !== 'connection') return emit(event, ...args);
      const socket = args[0] as Socket;
      markSocket(socket, own);
      this.#admit(socket, (entered) => {
        const isPlain = entered === socket;
        if (this.#http2) {
          // A server for HTTP/2 looks there for how it speaks HTTP/1, and what has no TLS is to speak that.
          Object.assign(entered, { server, ...(isPlain ? { alpnProtocol: false } : {}) });
        }
        // To a server with TLS of its own ours is as good.
        emit(isPlain && !this.#http2 ? 'connection' : connectionEvent(server), entered);
      });
      return true;
    };
  }

  /** Connections on their way in. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Those of them whose client has begun to speak. */
  get busy(): number {
    let busy = 0;
    for (const [socket, visitor] of this.#waiting) if (hasSpoken(socket, visitor)) busy++;
    return busy;
  }

  /** Connections that have never come in. */
  get lost(): number {
    return this.#lost;
  }

  /**
   * Ends connections whose clients have been silent, or have not finished the TLS handshake, for so many milliseconds,
   * counted from `since` at the earliest.
   */
  endIdle(since: number, longerThan: number): void {
    const due = performance.now() - longerThan;
    for (const [socket, visitor] of this.#waiting) {
      const asksNothing = visitor.isShaking || !hasSpoken(socket, visitor);
      if (asksNothing && Math.max(since, visitor.since) <= due) socket.end(() => socket.destroy());
    }
  }

  /** Cuts everything that is still on its way in. */
  destroyAll(): void {
    for (const [socket] of this.#waiting) socket.destroy();
  }

  #admit(socket: Socket, enter: (socket: Socket) => void): void {
    const overTcp = isOverTcp(socket);
    const secured = overTcp ? this.#tls : undefined;
    if (!this.#isProxy && !secured) {
      enter(socket);
      return;
    }
    const timer = setTimeout(() => {
      this.#log.debug({ remoteAddress: socket.remoteAddress }, 'a connection took too long to come in');
      socket.destroy();
    }, this.#patience);
    timer.unref();
    const visitor: Visitor = { enter, timer, since: performance.now(), settledBytes: 0, isShaking: false };
    this.#waiting.set(socket, visitor);
    socket.once('close', () => {
      if (this.#leave(socket)) this.#lost++;
    });
    const goOn = () => {
      if (secured) {
        visitor.isShaking = true;
        // Who goes during the handshake is gone. The TLS socket takes it from here, whatever its server says.
        socket.allowHalfOpen = false;
        secured.emit('connection', socket);
      } else if (this.#leave(socket)) enter(socket);
    };
    if (!this.#isProxy) goOn();
    // Reset before it was accepted, so that nobody knows whose it was.
    else if (overTcp && socket.remoteAddress === undefined) socket.destroy();
    else if (overTcp && !this.#isProxy(socket.remoteAddress))
      this.#turnAway(socket, 'its address is not among --proxy-allow-ips');
    else this.#readHeader(socket, visitor, goOn);
  }

  /** Returns what waits of a connection, which waits no longer. */
  #leave(socket: Socket): Visitor | undefined {
    const visitor = this.#waiting.get(socket);
    if (!visitor) return undefined;
    clearTimeout(visitor.timer);
    this.#waiting.delete(socket);
    return visitor;
  }

  #readHeader(socket: Socket, visitor: Visitor, goOn: () => void): void {
    let bytes: Buffer = Buffer.alloc(0);
    const onError = () => {};
    const onEnd = () => socket.destroy();
    const onReadable = () => {
      for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
        bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
        try {
          const header = readProxyHeader(bytes);
          if (!header) continue;
          socket.off('readable', onReadable).off('end', onEnd).off('error', onError);
          if (header.client) nameClient(socket, header.client);
          visitor.settledBytes = header.length;
          socket.unshift(bytes.subarray(header.length));
          // Only then has the stream forgotten that it was read this way.
          process.nextTick(goOn);
        } catch (error) {
          if (!(error instanceof ProxyHeaderError)) throw error;
          this.#turnAway(socket, `no valid PROXY protocol header came: ${error.message}`);
        }
        return;
      }
    };
    socket.on('error', onError).on('end', onEnd).on('readable', onReadable);
  }

  #secure({ cert, key, ticketKeys }: TlsIdentity): tls.Server {
    return tls
      .createServer({
        cert,
        key,
        ticketKeys: Buffer.from(ticketKeys, 'base64'),
        ALPNProtocols: this.#http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
        handshakeTimeout: this.#patience,
      })
      .on('secureConnection', (socket) => {
        // As Node's HTTP servers have it: a client may end its side and wait for the answer. On HTTP/2 one that has ended
        // is gone, and Node would never hear of it.
        socket.allowHalfOpen = socket.alpnProtocol !== 'h2';
        const raw = rawOf(socket);
        if (raw) this.#leave(raw)?.enter(socket);
      })
      .on('tlsClientError', (error, socket) => {
        const { reason = error.message } = error as { reason?: string };
        this.#log.debug({ remoteAddress: socket.remoteAddress }, `a TLS handshake failed: ${reason}`);
        socket.destroy();
      });
  }

  /** Said without flooding: whoever can connect can be turned away. */
  #turnAway(socket: Socket, reason: string): void {
    socket.destroy();
    const now = performance.now();
    const level = now - this.#warnedAt > WARN_EVERY ? 'warn' : 'debug';
    if (level === 'warn') this.#warnedAt = now;
    this.#log[level]({ remoteAddress: socket.remoteAddress }, `a connection was turned away: ${reason}`);
  }
}

function hasSpoken(socket: Socket, { settledBytes }: Visitor): boolean {
  return socket.bytesRead > settledBytes;
}
