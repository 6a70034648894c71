/**
 * Whom a request came from: what the proxy says on a Unix socket, what the kernel says on TCP. Knows forwarding
 * headers; must act before any framework has looked at a request.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Address } from '../address.ts';
import { join } from './join.ts';

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
 * Prepares a server's connections and requests for the addresses that it listens on.
 *
 * @param addresses the first is the one that the server itself accepts on.
 */
export function identifyPeers(server: Server, addresses: readonly Address[]): void {
  const [own] = addresses as [Address];
  identifyOn(server, 'connection', own);
  // Where TLS ends in the app: which socket is inside of it is not known, so the doubt is in nobody's favour.
  identifyOn(server, 'secureConnection', addresses.find((one) => !isUnix(one)) ?? own);
  if (addresses.every(isUnix)) return;
  // Fastify 4 believes some of these headers even where its trustProxy says no.
  for (const event of ['request', 'checkContinue', 'checkExpectation', 'upgrade'])
    join(server, event, stripForwarding);
}

function identifyOn(server: Server, event: string, address: Address): void {
  if (server.listenerCount(event) === 0) return;
  server.prependListener(event, (socket: Socket & { [kTcp]?: boolean }) => {
    if (socket[kTcp] === undefined) markSocket(socket, address);
    if (socket[kTcp]) rememberTcpPeer(socket);
    else nameUnixPeer(socket);
  });
}

function isUnix({ kind }: Address): boolean {
  return kind === 'unix' || kind === 'abstract';
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
