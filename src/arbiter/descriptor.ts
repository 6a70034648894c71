/**
 * A socket that whoever started us has bound and passed on (`fd://3`): what it is, and why it cannot be served.
 * Knows what the kernel tells of descriptors; how a socket is kept and given up is the listener's business.
 */
import { fstatSync, readFileSync } from 'node:fs';
import type { SocketAddress } from '../address.ts';
import { errorCode, UserError } from '../errors.ts';
import { type BoundSocket, takeUp } from './server-handle.ts';

/** Such a socket, and what it is bound to. */
export interface PassedSocket {
  socket: BoundSocket;
  address: SocketAddress;
}

/**
 * Takes up a passed socket. Call this before this process opens sockets of its own, whose numbers could be meant.
 *
 * @throws UserError if the descriptor is no socket of TCP or Unix that could listen.
 */
export function openPassed(fd: number): PassedSocket {
  const unix = unixSocket(socketInode(fd), fd);
  if (unix?.isConnected) throw refusal(fd, CONNECTED);
  if (unix?.name === '') throw refusal(fd, UNBOUND);
  const socket = takeUp(fd);
  if ('error' in socket)
    throw refusal(fd, `descriptor ${fd} is not a stream socket of TCP or Unix (${socket.error})`);
  if (socket.isConnected) throw refusal(fd, CONNECTED);
  const { local } = socket;
  if (local?.port === 0) throw refusal(fd, UNBOUND);
  return {
    socket,
    address: local ? { kind: 'tcp', host: local.address, port: local.port } : unixAddress(unix?.name, fd),
  };
}

const CONNECTED = 'it is a connection, not a socket that listens (with systemd: Accept=no)';
const UNBOUND = 'the socket is not bound to any address';

/** The error that says why a descriptor cannot be served. */
function refusal(fd: number, reason: string): UserError {
  return new UserError(`--bind fd://${fd}: ${reason}`);
}

/** @throws UserError if it is not the number of a socket. */
function socketInode(fd: number): number {
  try {
    const stat = fstatSync(fd);
    if (stat.isSocket()) return stat.ino;
  } catch (error) {
    if (errorCode(error) !== 'EBADF') throw refusal(fd, (error as Error).message);
    throw refusal(fd, `descriptor ${fd} is not open; whoever starts the server has to pass it on`);
  }
  throw refusal(fd, `descriptor ${fd} is not a socket; whoever starts the server has to pass one on`);
}

/** What the kernel tells of a Unix socket; nothing of other sockets, nor of one from another network namespace. */
function unixSocket(inode: number, fd: number): { isConnected: boolean; name: string } | undefined {
  let table: string;
  try {
    table = readFileSync('/proc/self/net/unix', 'utf8');
  } catch {
    return undefined;
  }
  for (const row of table.split('\n')) {
    const found = /^\S+ \S+ \S+ \S+ (\d+) (\d+) +(\d+) ?(.*)$/.exec(row);
    if (Number(found?.[3]) !== inode) continue;
    const [, type, state, , name = ''] = found!;
    if (Number(type) !== STREAM) throw refusal(fd, `descriptor ${fd} is not a stream socket`);
    return { isConnected: Number(state) !== UNCONNECTED, name };
  }
  return undefined;
}

/** SOCK_STREAM and SS_UNCONNECTED of Linux. */
const STREAM = 1;
const UNCONNECTED = 1;

/** Where the name is not known, what it was called by stands for it. */
function unixAddress(name: string | undefined, fd: number): SocketAddress {
  if (name?.startsWith('@')) return { kind: 'abstract', name: name.slice(1).replace(/@+$/, '') };
  return { kind: 'unix', path: name ?? `fd://${fd}` };
}
