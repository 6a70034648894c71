/**
 * How an app's one HTTP server comes to listen on every socket that the worker has inherited. Knows descriptors and
 * net servers; who may be trusted on which socket is the business of `peers.ts`.
 */
import { once } from 'node:events';
import type { Server } from 'node:http';
import * as net from 'node:net';
import type { Address } from '../address.ts';
import { formatAddress } from '../address.ts';
import { errorCode, UserError } from '../errors.ts';
import type { InheritedSocket } from '../protocol.ts';
import { markSocket } from './peers.ts';

/** A descriptor that connections are accepted on, and the server that does. */
export interface Listening {
  readonly server: net.Server;
  readonly socket: InheritedSocket;
}

/**
 * Listens on all sockets: on the first through the app's own listen(), so that its hooks run, and on the others
 * through plain servers that hand their connections over.
 *
 * @param listen the app's own listen(), for an address; what it asks for is replaced by the socket.
 * @throws UserError if a port was taken between bind and listen.
 */
export async function listenOn(
  server: Server,
  sockets: readonly InheritedSocket[],
  backlog: number,
  listen: (address: Address) => Promise<unknown>,
): Promise<Listening[]> {
  const listening: Listening[] = [];
  for (const socket of sockets) {
    const isFirst = listening.length === 0;
    const one = isFirst ? server : handingOverTo(server, socket.address);
    try {
      if (isFirst) {
        adopt(server, socket, backlog);
        await listen(socket.address);
      } else {
        // Only in this form does Node not replace the backlog by 511.
        one.listen({ fd: socket.fd }, backlog);
        await once(one, 'listening');
      }
    } catch (error) {
      // Two servers may bind one port at once; only the first to listen gets it.
      const code = errorCode(error);
      const reason = code === 'EADDRINUSE' ? 'the port is taken; stop who has it' : 'cannot listen';
      throw new UserError(`--bind ${formatAddress(socket.address)}: ${reason} (${code ?? error})`);
    }
    listening.push({ server: one, socket });
  }
  return listening;
}

/** Made like the net.Server inside http.Server; handing connections over by this event is documented by Node. */
function handingOverTo(server: Server, address: Address): net.Server {
  return net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    markSocket(socket, address);
    server.emit('connection', socket);
  });
}

/**
 * Has the server's next listen() use the inherited socket, whatever it asks for, and report the address that was
 * asked for: on a Unix socket, address() would be null, which crashes frameworks.
 */
function adopt(server: net.Server, { fd, address }: InheritedSocket, backlog: number): void {
  server.listen = (...args: unknown[]) => {
    delete (server as Partial<net.Server>).listen;
    const callback = args.at(-1);
    if (typeof callback === 'function') server.once('listening', callback as () => void);
    return (server.listen as (options: object, backlog: number) => net.Server)({ fd }, backlog);
  };
  if (address.kind === 'unix') server.address = () => address.path;
}
