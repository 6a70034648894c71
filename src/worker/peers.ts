/**
 * Whom a request came from: what the proxy says on a Unix socket, what the kernel says on TCP. Knows forwarding
 * headers; must act before any framework has looked at a request.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Address } from '../address.ts';

/** Everything a proxy uses to speak about its client. The bundled nginx.conf overwrites or clears the same ones. */
const FORWARDING = /^(x-forwarded-.*|forwarded|x-real-ip|x-request-id)$/i;

/**
 * Fastify's `trustProxy`: behind a Unix socket there is exactly one proxy, so the first hop is trusted and no other;
 * on TCP nobody is. Where there are both, this is right for both, as what TCP clients claim was taken away.
 */
export function trustProxy(addresses: readonly Address[]): false | ((peer: string, hop: number) => boolean) {
  return addresses.some(isUnix) ? (_peer, hop) => hop === 0 : false;
}

/** The header that a trusted proxy puts a request's id into, or false if there is no such proxy. */
export function requestIdHeader(addresses: readonly Address[]): string | false {
  return addresses.some(isUnix) ? 'x-request-id' : false;
}

const kTcp = Symbol('fasticorn.tcp');

/** Notes on a connection through which kind of address it came; for those that `server` did not accept by itself. */
export function markSocket(socket: Socket, address: Address): void {
  (socket as { [kTcp]?: boolean })[kTcp] = !isUnix(address);
}

/**
 * Prepares a server's connections and requests for the addresses that it listens on. Call it before any other
 * listener is added.
 *
 * @param addresses the first is the one that the server itself accepts on.
 */
export function identifyPeers(server: Server, addresses: readonly Address[]): void {
  const [own] = addresses as [Address];
  server.prependListener('connection', (socket: Socket & { [kTcp]?: boolean }) => {
    if (socket[kTcp] === undefined) markSocket(socket, own);
    if (socket[kTcp]) rememberTcpPeer(socket);
    else nameUnixPeer(socket);
  });
  if (addresses.every(isUnix)) return;
  // Fastify 4 believes some of these headers even where its trustProxy says no.
  for (const event of ['request', 'checkContinue', 'checkExpectation', 'upgrade']) stripOn(server, event);
}

function isUnix({ kind }: Address): boolean {
  return kind === 'unix';
}

/** A Unix socket has no remote address, and libraries that read one crash on undefined. */
function nameUnixPeer(socket: Socket): void {
  Object.defineProperties(socket, {
    remoteAddress: { value: '127.0.0.1', configurable: true },
    remoteFamily: { value: 'IPv4', configurable: true },
  });
}

/** Node asks the system for the address when it is first read, which is too late once the client is gone. */
function rememberTcpPeer(socket: Socket): void {
  void socket.remoteAddress;
}

/**
 * Strips before the others who listen to an event. Only joins those who are there already: a listener for `upgrade`
 * or `checkContinue` that is alone would change what Node does by default.
 */
function stripOn(server: Server, event: string): void {
  server.on('newListener', function join(added: string, listener: unknown) {
    if (added !== event || listener === stripForwarding) return;
    server.off('newListener', join);
    server.prependListener(event, stripForwarding);
  });
  if (server.listenerCount(event) > 0) server.prependListener(event, stripForwarding);
}

/** Removes what a TCP client claims about itself, from every form in which Node shows headers. */
function stripForwarding(request: IncomingMessage): void {
  if (!(request.socket as { [kTcp]?: boolean })[kTcp]) return;
  const { rawHeaders } = request;
  let found = false;
  for (let i = 0; i < rawHeaders.length; i += 2) found ||= FORWARDING.test(rawHeaders[i]!);
  if (!found) return;
  // Node makes both from rawHeaders when first read, by a count that it took before: read first, then remove.
  for (const headers of [request.headers, request.headersDistinct]) {
    for (const name of Object.keys(headers)) if (FORWARDING.test(name)) delete headers[name];
  }
  for (let i = rawHeaders.length - 2; i >= 0; i -= 2) {
    if (FORWARDING.test(rawHeaders[i]!)) rawHeaders.splice(i, 2);
  }
}
