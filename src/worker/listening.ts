/**
 * How an HTTP server comes to accept on sockets that the worker has inherited. Knows descriptors and net servers; which
 * server that is to be is the business of `adoption.ts`, who may be trusted on which socket that of `peers.ts`.
 */
import { once } from 'node:events';
import * as net from 'node:net';
import { formatAddress, type SocketAddress } from '../address.ts';
import { errorCode, UserError } from '../errors.ts';
import type { InheritedSocket } from '../protocol.ts';
import { asPrimary } from './node-cluster.ts';
import { markSocket } from './peers.ts';
import { type Turns, takeTurns } from './turns.ts';

/** A descriptor that connections are accepted on, and the server that does. */
export interface Listening {
  readonly server: net.Server;
  readonly socket: InheritedSocket;
}

/** How sockets are accepted on. */
export interface Accepting {
  readonly backlog: number;
  /** Gets each server as soon as it listens. */
  readonly accepting: Listening[];
  /** Absent where no other worker accepts. */
  readonly turns?: Turns | undefined;
}

/** Node's own; what an app's calls of it do is up to `adoption.ts`. */
const { listen } = net.Server.prototype;

/**
 * Has a server accept on all these sockets: on the first by itself, which emits `listening`, and on the others through
 * plain servers that hand their connections over.
 *
 * @throws UserError if a port was taken between bind and listen.
 */
export async function acceptOn(
  server: net.Server,
  sockets: readonly InheritedSocket[],
  { backlog, accepting, turns }: Accepting,
): Promise<void> {
  for (const socket of sockets) {
    const one = socket === sockets[0] ? server : handingOverTo(server, socket.address);
    try {
      // Only in this form does Node not replace the backlog by 511.
      asPrimary(() =>
        (listen as (options: object, backlog: number) => void).call(one, { fd: socket.fd }, backlog),
      );
      await once(one, 'listening');
    } catch (error) {
      // Two servers may bind one port at once; only the first to listen gets it.
      const code = errorCode(error);
      const reason = code === 'EADDRINUSE' ? 'the port is taken; stop who has it' : 'cannot listen';
      throw new UserError(`--bind ${formatAddress(socket.address)}: ${reason} (${code ?? error})`);
    }
    if (turns) takeTurns(one, turns);
    accepting.push({ server: one, socket });
  }
}

/** Made like the other one; handing connections over by this event is documented by Node. */
export function handingOverTo(server: net.Server, address?: SocketAddress): net.Server {
  const { allowHalfOpen = true, noDelay = true } = server as { allowHalfOpen?: boolean; noDelay?: boolean };
  return net.createServer({ allowHalfOpen, noDelay }, (socket) => {
    if (address) markSocket(socket, address);
    server.emit('connection', socket);
  });
}
