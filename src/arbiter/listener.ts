/**
 * A bound socket whose descriptor the workers inherit. The only file that touches a private net handle, and the
 * only one that knows that a socket is not listening yet when it is bound: the first worker calls listen(2).
 */
import { execFileSync } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { chmodSync, lchownSync, readFileSync } from 'node:fs';
import * as net from 'node:net';
import { resolve } from 'node:path';
import { getSystemErrorName } from 'node:util';
import { type Address, formatAddress } from '../address.ts';
import type { Config } from '../config/settings.ts';
import { errorCode, UserError } from '../errors.ts';
import type { InheritedSocket } from '../protocol.ts';
import { assertPossible, hiddenName, type PathEvents, SocketPath } from './socket-path.ts';
import { assertFree } from './socket-probe.ts';

/** What libuv gives for a bound, not yet listening socket. */
interface Handle {
  readonly fd: number;
  getsockname?(out: { address?: string; port?: number }): number;
  close(): void;
}

/**
 * What `node:cluster` binds with: unlike the public listen() it neither listens nor accepts, so that no connection
 * is ever taken by the arbiter. Returns a negative error number on failure.
 */
const createServerHandle = (
  net as unknown as {
    _createServerHandle(address: string, port: number, addressType: number, fd?: number): Handle | number;
  }
)._createServerHandle;

/** A bound socket, from start to stop. */
export interface Listener {
  /** The address with what was left open filled in: an absolute path, the port that the system chose. */
  readonly address: Address;
  /** The descriptor to hand to workers. */
  readonly fd: number;
  /** What a worker needs to know about the socket, but for the number of its own descriptor. */
  readonly inherited: Omit<InheritedSocket, 'fd'>;
  /** Makes the socket reachable; to be called once a worker listens. False if it was withdrawn meanwhile. */
  publish(): Promise<boolean>;
  /** Puts a deleted name back; to be called now and then. */
  check(): void;
  /** Takes the name away, so that nobody new can connect. Whoever waits in the queue is still served. */
  withdraw(): void;
  /** Gives the descriptor up. */
  close(): void;
}

/** The settings that a listener is made from. */
export type ListenerSettings = Pick<Config, 'bind' | 'socketMode' | 'socketGroup'>;

/**
 * Binds the address. A Unix socket is bound under a hidden name and stays invisible until it is published.
 *
 * @throws UserError if the address cannot be had; whatever stood there is untouched.
 */
export async function openListener(settings: ListenerSettings, events: PathEvents): Promise<Listener> {
  return settings.bind.kind === 'unix'
    ? openUnix(settings, resolve(settings.bind.path), events)
    : openTcp(settings.bind.host, settings.bind.port);
}

/**
 * Checks what can be checked about the address without binding it, also while a server is running there.
 *
 * @throws UserError as `openListener` would.
 */
export function checkListener({ bind, socketGroup }: ListenerSettings): void {
  if (socketGroup !== undefined) groupId(socketGroup);
  if (bind.kind === 'unix') assertPossible(resolve(bind.path));
}

async function openUnix(settings: ListenerSettings, path: string, events: PathEvents): Promise<Listener> {
  const gid = settings.socketGroup === undefined ? undefined : groupId(settings.socketGroup);
  assertPossible(path);
  await assertFree(path);
  const bound = hiddenName(path);
  const handle = createServerHandle(bound, -1, -1);
  if (typeof handle === 'number') {
    throw new UserError(`--bind unix:${path}: cannot bind a socket in its directory (${errorName(handle)})`);
  }
  let name: SocketPath;
  try {
    // Group before mode: chown clears nothing here, but a mode without its group would be too wide for a moment.
    if (gid !== undefined) lchownSync(bound, -1, gid);
    chmodSync(bound, settings.socketMode);
    name = new SocketPath(path, bound, events);
  } catch (error) {
    handle.close();
    if (errorCode(error) !== 'EPERM' || gid === undefined) {
      throw new UserError(`--bind unix:${path}: cannot prepare the socket: ${(error as Error).message}`);
    }
    throw new UserError(
      `--socket-group ${settings.socketGroup}: this user is not a member of that group and may not give it the socket`,
    );
  }
  const address: Address = { kind: 'unix', path };
  return {
    address,
    fd: handle.fd,
    inherited: { address, names: name.names, inode: name.inode },
    publish: () => name.publish(),
    check: () => name.check(),
    withdraw: () => name.withdraw(),
    close: () => handle.close(),
  };
}

async function openTcp(host: string, port: number): Promise<Listener> {
  const asked = formatAddress({ kind: 'tcp', host, port });
  const { address: ip, family } = await lookup(host).catch((error) => {
    throw new UserError(`--bind ${asked}: cannot resolve ${host} (${errorCode(error)})`);
  });
  const handle = createServerHandle(ip, port, family);
  if (typeof handle === 'number') throw new UserError(`--bind ${asked}: ${tcpReason(errorName(handle))}`);
  const name: { port?: number } = {};
  // libuv keeps EADDRINUSE back until the next call on the handle.
  const failed = handle.getsockname?.(name) ?? 0;
  if (failed < 0) {
    handle.close();
    throw new UserError(`--bind ${asked}: ${tcpReason(errorName(failed))}`);
  }
  const address: Address = { kind: 'tcp', host, port: name.port ?? port };
  return {
    address,
    fd: handle.fd,
    inherited: { address, names: [] },
    publish: async () => true,
    check: () => {},
    withdraw: () => {},
    close: () => handle.close(),
  };
}

const errorName = (number: number): string => getSystemErrorName(number);

function tcpReason(code: string): string {
  if (code === 'EADDRINUSE') return 'the port is taken; stop who has it, or choose another (EADDRINUSE)';
  if (code === 'EACCES')
    return 'no permission for that port; below 1024 it takes root or CAP_NET_BIND_SERVICE (EACCES)';
  if (code === 'EADDRNOTAVAIL') return 'this machine does not have that address (EADDRNOTAVAIL)';
  return `cannot bind it (${code})`;
}

/** The greatest number that chown(2) does not read as "leave it". */
const MAX_GID = 2 ** 32 - 2;

/** Node has no getgrnam(3): a number is taken as it is, a name is looked up where the system keeps it. */
function groupId(group: string): number {
  if (/^\d+$/.test(group) && Number(group) <= MAX_GID) return Number(group);
  let found: string | undefined;
  try {
    found = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .find((line) => line.startsWith(`${group}:`));
    // Not a local group: a directory service may know it.
    found ??= execFileSync('getent', ['group', group], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch {}
  const gid = found?.split(':')[2];
  if (!gid) throw new UserError(`--socket-group ${group}: there is no such group on this machine`);
  return Number(gid);
}
