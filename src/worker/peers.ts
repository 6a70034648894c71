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
 * Fastify's `trustProxy` for an address: behind a Unix socket there is exactly one proxy, so the first hop is
 * trusted and no other; on TCP nobody is.
 */
export function trustProxy(address: Address): false | ((peer: string, hop: number) => boolean) {
  return address.kind === 'unix' ? (_peer, hop) => hop === 0 : false;
}

/** Prepares a server's connections and requests for the address that it listens on. Call it before any other listener is added. */
export function identifyPeers(server: Server, address: Address): void {
  if (address.kind === 'unix') server.prependListener('connection', nameUnixPeer);
  else {
    server.prependListener('connection', rememberTcpPeer);
    // Fastify 4 believes some of these headers even where its trustProxy says no.
    for (const event of ['request', 'checkContinue', 'checkExpectation', 'upgrade']) stripOn(server, event);
  }
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

/** Removes what a client claims about itself, from every form in which Node shows headers. */
export function stripForwarding(request: IncomingMessage): void {
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
