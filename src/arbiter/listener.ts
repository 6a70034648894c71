/**
 * A bound socket whose descriptor the workers inherit. The only file that touches a private net handle, and the
 * only one that knows that a socket is not listening yet when it is bound: the first worker calls listen(2).
 */
import { execFileSync } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { chmodSync, closeSync, lchownSync, readFileSync } from 'node:fs';
import * as net from 'node:net';
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
  /** The address as it was asked for, as text: what tells listeners apart. */
  readonly key: string;
  /** The address with what was left open filled in: the port that the system chose. */
  readonly address: Address;
  /** The descriptor to hand to workers. */
  readonly fd: number;
  /** What a worker needs to know about the socket, but for the number of its own descriptor. */
  readonly inherited: Omit<InheritedSocket, 'fd' | 'key'>;
  /**
   * Makes the socket reachable; to be called once a worker listens. False if it was withdrawn meanwhile.
   *
   * @param replace whether a live server at the path has agreed to be replaced.
   */
  publish(replace?: boolean): Promise<boolean>;
  /** Whether clients find it; always so for TCP. */
  readonly isThere: boolean;
  /** Puts a deleted name back; to be called now and then. */
  check(): void;
  /** Takes the name away, so that nobody new can connect. Whoever waits in the queue is still served. */
  withdraw(): void;
  /** Leaves the name alone, as somebody is about to replace it. */
  release(): void;
  /** Takes the name up again after `release`, as that came to nothing. */
  reclaim(): void;
  /** Leaves the name to a successor that has inherited the socket. */
  handOver(): void;
  /** Gives the descriptor up; may be called more than once. */
  close(): void;
}

/** The settings that a listener is made from. */
export type ListenerSettings = Pick<Config, 'bind' | 'socketMode' | 'socketGroup' | 'takeover'>;

/** A listening socket that a successor finds among its descriptors. */
export interface Heirloom {
  key: string;
  address: Address;
  fd: number;
  /** The hidden second name that the predecessor keeps; absent for TCP. */
  spare?: string | undefined;
}

/**
 * Binds every address of the settings that is not among those that there are; a Unix socket under a hidden name, so
 * that it stays invisible until it is published.
 *
 * @param there listeners to keep if they are wanted.
 * @returns the listeners in the order of the settings.
 * @throws UserError if an address cannot be had; whatever stood there is untouched, and nothing new stays bound.
 */
export async function openListeners(
  settings: ListenerSettings,
  events: PathEvents,
  there: readonly Listener[] = [],
): Promise<Listener[]> {
  const opened: Listener[] = [];
  try {
    const wanted: Listener[] = [];
    for (const address of settings.bind) {
      const kept = there.find(({ key }) => key === formatAddress(address));
      const listener = kept ?? (await openListener(address, settings, events));
      if (!kept) opened.push(listener);
      wanted.push(listener);
    }
    return wanted;
  } catch (error) {
    for (const listener of opened) {
      listener.withdraw();
      listener.close();
    }
    throw error;
  }
}

/** Takes up sockets that a predecessor has left to this process; those that have lost their names are to be bound anew. */
export function inheritListeners(heirlooms: readonly Heirloom[], events: PathEvents): Listener[] {
  return heirlooms.flatMap(({ key, address, fd, spare }) => {
    let isOpen = true;
    const close = () => {
      if (isOpen) closeSync(fd);
      isOpen = false;
    };
    if (address.kind === 'tcp' || spare === undefined) return tcpListener(key, address, fd, close);
    const name = SocketPath.inherited(address.path, spare, events);
    if (name) return unixListener(name, fd, close);
    close();
    return [];
  });
}

/** What a successor needs to inherit a listener. */
export function heirloomOf({ key, address, inherited }: Listener, fd: number): Heirloom {
  return { key, address, fd, ...(inherited.spare === undefined ? {} : { spare: inherited.spare }) };
}

/**
 * Checks what can be checked about the addresses without binding them, also while a server is running there.
 *
 * @throws UserError as `openListeners` would.
 */
export function checkListeners({ bind, socketGroup }: ListenerSettings): void {
  if (socketGroup !== undefined) groupId(socketGroup);
  for (const address of bind) if (address.kind === 'unix') assertPossible(address.path);
}

function openListener(address: Address, settings: ListenerSettings, events: PathEvents): Promise<Listener> {
  return address.kind === 'unix'
    ? openUnix(settings, address.path, events)
    : openTcp(address.host, address.port, settings.takeover);
}

async function openUnix(settings: ListenerSettings, path: string, events: PathEvents): Promise<Listener> {
  const gid = settings.socketGroup === undefined ? undefined : groupId(settings.socketGroup);
  assertPossible(path);
  await assertFree(path, settings.takeover);
  const bound = hiddenName(path);
  const handle = createServerHandle(bound, -1, -1);
  if (typeof handle === 'number') {
    throw new UserError(`--bind unix:${path}: cannot bind a socket in its directory (${errorName(handle)})`);
  }
  try {
    // Group before mode: chown clears nothing here, but a mode without its group would be too wide for a moment.
    if (gid !== undefined) lchownSync(bound, -1, gid);
    chmodSync(bound, settings.socketMode);
    return unixListener(SocketPath.ofBound(path, bound, events), handle.fd, () => handle.close());
  } catch (error) {
    handle.close();
    if (errorCode(error) !== 'EPERM' || gid === undefined) {
      throw new UserError(`--bind unix:${path}: cannot prepare the socket: ${(error as Error).message}`);
    }
    throw new UserError(
      `--socket-group ${settings.socketGroup}: this user is not a member of that group and may not give it the socket`,
    );
  }
}

function unixListener(name: SocketPath, fd: number, close: () => void): Listener {
  const address: Address = { kind: 'unix', path: name.path };
  return {
    ...{ key: formatAddress(address), address, fd, close },
    inherited: { address, spare: name.spare, inode: name.inode },
    get isThere() {
      return name.isThere;
    },
    publish: (replace) => name.publish(replace),
    check: () => name.check(),
    withdraw: () => name.withdraw(),
    release: () => name.release(),
    reclaim: () => name.reclaim(),
    handOver: () => name.handOver(),
  };
}

async function openTcp(host: string, port: number, takeover: boolean): Promise<Listener> {
  const asked = formatAddress({ kind: 'tcp', host, port });
  const { address: ip, family } = await lookup(host).catch((error) => {
    throw new UserError(`--bind ${asked}: cannot resolve ${host} (${errorCode(error)})`);
  });
  const handle = createServerHandle(ip, port, family);
  const refuse = (error: number) =>
    new UserError(`--bind ${asked}: ${tcpReason(errorName(error), takeover)}`);
  if (typeof handle === 'number') throw refuse(handle);
  const name: { port?: number } = {};
  // libuv keeps EADDRINUSE back until the next call on the handle.
  const failed = handle.getsockname?.(name) ?? 0;
  if (failed < 0) {
    handle.close();
    throw refuse(failed);
  }
  const address: Address = { kind: 'tcp', host, port: name.port ?? port };
  return tcpListener(asked, address, handle.fd, () => handle.close());
}

function tcpListener(key: string, address: Address, fd: number, close: () => void): Listener {
  const nothing = () => {};
  return {
    ...{ key, address, fd, close, inherited: { address } },
    isThere: true,
    publish: async () => true,
    ...{ check: nothing, withdraw: nothing, release: nothing, reclaim: nothing, handOver: nothing },
  };
}

const errorName = (number: number): string => getSystemErrorName(number);

function tcpReason(code: string, takeover: boolean): string {
  if (code === 'EADDRINUSE' && takeover)
    return 'the port is taken, and only Unix sockets can be taken over; choose another (EADDRINUSE)';
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
