/**
 * Whom a request came from: what the proxy says on a Unix socket, what the kernel says on TCP. Knows forwarding
 * headers; must act before any framework has looked at a request.
 */
import type { EventEmitter } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { type Address, isUnix } from '../address.ts';
import { type TrustProxy, trustProxy } from '../trust-proxy.ts';
import { membershipIn } from './networks.ts';
import type { Client } from './proxy-header.ts';
import { REQUESTS, TUNNELS } from './request-events.ts';

/** Everything a proxy uses to speak about its client. The bundled nginx.conf overwrites or clears the same ones. */
const FORWARDING = /^(x-forwarded-.*|forwarded|x-real-ip|x-request-id)$/i;

/**
 * Whose word counts: that of the one proxy behind a Unix socket, and on TCP of those allowed, which may have others of
 * them before them. What the peers of all other connections claim is taken away, so the first hop needs no test.
 *
 * @param allowed networks, `*` for every peer; that names no hop behind it, where clients could write what they like.
 */
export function trustProxyFor(
  addresses: readonly Address[],
  allowed: readonly string[] | undefined,
): false | TrustProxy {
  if (!addresses.some(isUnix) && !allowed) return false;
  const isNamed = membershipIn((allowed ?? []).filter((network) => network !== '*'));
  return (address, hop) => hop === 0 || isNamed(address);
}

/** The header that a trusted proxy puts a request's id into, or false if there is no such proxy. */
export function requestIdHeader(
  addresses: readonly Address[],
  allowed: readonly string[] | undefined,
): string | false {
  return addresses.some(isUnix) || allowed ? 'x-request-id' : false;
}

const kTcp = Symbol('fasticorn.tcp');
const kUntrusted = Symbol('fasticorn.untrusted');
const kClient = Symbol('fasticorn.client');

/** A connection as we note down whose it is. */
type Marked = { [kTcp]?: boolean; [kUntrusted]?: boolean; [kClient]?: Client; _peername?: object };

/** Notes on a connection through which kind of address it came; for those that `server` did not accept by itself. */
export function markSocket(socket: Socket, address: Address): void {
  (socket as Marked)[kTcp] ??= !isUnix(address);
}

/** The event by which a server has a connection that requests can come on: one that speaks TLS has them secured. */
export function connectionEvent(server: EventEmitter): 'connection' | 'secureConnection' {
  return server.listenerCount('secureConnection') > 0 ? 'secureConnection' : 'connection';
}

/** Whether a marked connection is one over TCP. */
export function isOverTcp(socket: Socket): boolean {
  return (socket as Marked)[kTcp] === true;
}

/** From now on a connection is that of a TCP client, whoever has forwarded it. */
export function nameClient(socket: Socket, client: Client): void {
  const { address, port } = client;
  Object.assign(socket, { [kTcp]: true, [kClient]: client });
  Object.defineProperties(socket, {
    remoteAddress: { value: address, configurable: true },
    remotePort: { value: port, configurable: true },
    remoteFamily: { value: address.includes(':') ? 'IPv6' : 'IPv4', configurable: true },
  });
}

/** The connection that a TLS socket was made from; Node has no public name for it. */
export function rawOf(socket: Socket): Socket | undefined {
  return (socket as Socket & { _parent?: Socket })._parent;
}

/** Has a TLS socket be whose the connection is that it was made from. */
function takeOver(socket: Socket & Marked): void {
  const raw: (Socket & Marked) | undefined = rawOf(socket);
  if (raw?.[kTcp] !== undefined) socket[kTcp] = raw[kTcp];
  if (raw?.[kClient]) nameClient(socket, raw[kClient]);
}

/**
 * Prepares a server's connections and requests for the addresses that it listens on.
 *
 * @param addresses the first is the one that the server itself accepts on.
 * @param allowed the networks whose headers are believed on TCP.
 */
export function identifyPeers(
  server: Server,
  addresses: readonly Address[],
  allowed?: readonly string[],
): void {
  const [own] = addresses as [Address];
  const isAllowed = membershipIn(allowed ?? []);
  let strips = false;
  const distrust = (socket: Socket & Marked) => {
    socket[kUntrusted] = true;
    if (strips) return;
    strips = true;
    // Fastify 4 believes some of these headers even where its trustProxy says no. Not before the first such connection,
    // as it costs every request, and not by listeners: Node answers some of these events where there is none.
    const emit = server.emit.bind(server);
    server.emit = (event: string, ...args: unknown[]): boolean => {
      if (REQUESTS.includes(event) || TUNNELS.includes(event)) stripForwarding(args[0] as IncomingMessage);
      else if (event === 'stream') stripStream(...(args as Parameters<typeof stripStream>));
      return emit(event, ...args);
    };
  };
  const identify = (socket: Socket & Marked) => {
    markSocket(socket, own);
    // Node asks the system for the address when it is first read, which is too late once the client is gone.
    if (!socket[kTcp]) socket._peername = UNIX_PEER;
    else if (!isAllowed(socket.remoteAddress)) distrust(socket);
  };
  if (connectionEvent(server) === 'secureConnection') {
    server.prependListener('secureConnection', (socket: Socket) => {
      takeOver(socket);
      identify(socket);
    });
  }
  server.prependListener('connection', (socket: Socket) => {
    // Made by our own TLS, unless the server has some.
    takeOver(socket);
    identify(socket);
  });
}

const kConnection = Symbol('fasticorn.connection');
type Carried = { [kConnection]?: Socket };

/** Notes on a request of HTTP/2 on which connection it came: its own `socket` is one only while that is open. */
export function carriedBy(request: IncomingMessage, connection: Socket): void {
  (request as Carried)[kConnection] = connection;
}

/** The connection that a request came on. */
export function connectionOf(request: IncomingMessage): Socket {
  return (request as Carried)[kConnection] ?? request.socket;
}

/** The client of a request, as far as the forwarding header can be believed; what Fastify calls `request.ip`. */
export function clientOf(request: IncomingMessage): string {
  const { headers } = request;
  const socket = connectionOf(request);
  const forwarded = String(headers['x-forwarded-for'] ?? '').split(',');
  const hops = [socket.remoteAddress ?? '', ...forwarded.map((one) => one.trim()).reverse()].filter(Boolean);
  const client = hops.findIndex((address, hop) => !trustProxy(address, hop));
  return hops.at(client) ?? '';
}

/**
 * What a Unix socket says of its peer: it has no remote address, and libraries that read one crash on undefined. Put where
 * Node keeps what the system has said, as properties of its own would make every socket slow to use.
 */
const UNIX_PEER = { address: '127.0.0.1', family: 'IPv4' };

/** Removes what a client that nobody trusts claims about itself, from every form in which Node shows headers. */
function stripForwarding(request: IncomingMessage): void {
  if (!(connectionOf(request) as Marked)[kUntrusted]) return;
  // Node makes both from rawHeaders when first read, by a count that it took before: read first, then remove.
  strip(request.rawHeaders, () => [request.headers, request.headersDistinct ?? {}]);
}

/** The same for a stream of HTTP/2 that an app takes as such. */
function stripStream(
  { session }: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  _flags: number,
  rawHeaders: string[],
): void {
  if ((session?.socket as Marked | undefined)?.[kUntrusted]) strip(rawHeaders, () => [headers]);
}

function strip(rawHeaders: string[], parsed: () => Record<string, unknown>[]): void {
  let found = false;
  for (let i = 0; i < rawHeaders.length; i += 2) found ||= FORWARDING.test(rawHeaders[i]!);
  if (!found) return;
  for (const headers of parsed()) {
    for (const name of Object.keys(headers)) if (FORWARDING.test(name)) delete headers[name];
  }
  for (let i = rawHeaders.length - 2; i >= 0; i -= 2) {
    if (FORWARDING.test(rawHeaders[i]!)) rawHeaders.splice(i, 2);
  }
}
