/**
 * A bound socket whose descriptor the workers inherit. Knows how each kind of address is had and given up, and that a
 * socket is not listening yet when it is bound: the first worker calls listen(2).
 */
import { lookup } from 'node:dns/promises';
import { closeSync } from 'node:fs';
import { type Address, formatAddress, isUnix, type SocketAddress } from '../address.ts';
import type { Config } from '../config/settings.ts';
import { errorCode, UserError } from '../errors.ts';
import type { InheritedSocket } from '../protocol.ts';
import { groupNumber } from './credentials.ts';
import { openPassed } from './descriptor.ts';
import { bindTcp, bindUnix } from './server-handle.ts';
import {
  type Access,
  type AccessSettings,
  accessOf,
  accessRefused,
  changeAccess,
  giveAccess,
} from './socket-access.ts';
import { assertPossible, hiddenName, type PathEvents, SocketPath } from './socket-path.ts';
import { assertFree } from './socket-probe.ts';

/** A bound socket, from start to stop. */
export interface Listener {
  /** The address as it was asked for, as text: what tells listeners apart. */
  readonly key: string;
  /** The address with what was left open filled in: the port that the system chose, what a descriptor is bound to. */
  readonly address: SocketAddress;
  /** The descriptor to hand to workers. */
  readonly fd: number;
  /** What a worker needs to know about the socket, but for the number of its own descriptor. */
  readonly inherited: Omit<InheritedSocket, 'fd' | 'key'>;
  /** Who may connect, as the settings asked for it; absent without a path of ours. */
  readonly access?: Access | undefined;
  /**
   * Makes the socket reachable; to be called once a worker listens. False if it was withdrawn meanwhile.
   *
   * @param replace whether a live server at the path has agreed to be replaced.
   */
  publish(replace?: boolean): Promise<boolean>;
  /** Whether clients find it; always so without a path. */
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
export type ListenerSettings = AccessSettings &
  Pick<Config, 'bind' | 'takeover' | 'reusePort'> &
  Partial<Pick<Config, 'certfile'>>;

/** A listening socket that a successor finds among its descriptors. */
export interface Heirloom {
  key: string;
  address: SocketAddress;
  fd: number;
  /** The hidden second name that the predecessor keeps; absent for a socket without a path of ours. */
  spare?: string | undefined;
  /** What its settings asked for; absent for a socket without a path of ours. */
  access?: Access | undefined;
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
  refuseLoneTls(settings, there);
  const opened: Listener[] = [];
  try {
    const wanted: Listener[] = [];
    for (const address of settings.bind) {
      const kept = there.find(({ key }) => key === formatAddress(address));
      const listener = kept ?? (await openListener(address, settings, events, there));
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

/** Only now is it known what passed descriptors are; all else `configuration.ts` has refused already. */
function refuseLoneTls({ bind, certfile }: ListenerSettings, there: readonly Listener[]): void {
  if (certfile === undefined) return;
  const found = bind.map((asked) => there.find(({ key }) => key === formatAddress(asked))?.address ?? asked);
  if (!found.every(isUnix)) return;
  const index = bind.findIndex(({ kind }) => kind === 'fd');
  const what = index < 0 ? '' : `, and ${formatAddress(bind[index]!)} is ${formatAddress(found[index]!)}`;
  throw new UserError(
    `--certfile ${certfile}: expected a --bind with a TCP port: on a Unix socket there is no TLS${what}`,
  );
}

/**
 * Takes up the sockets that whoever started us has passed on, for those of the addresses that are descriptors. To be
 * called at the start only: later their numbers may stand for anything.
 *
 * @throws UserError if one is no socket that could listen.
 */
export function passedListeners(bind: readonly Address[]): Listener[] {
  return bind.flatMap((asked) => {
    if (asked.kind !== 'fd') return [];
    const { socket, address } = openPassed(asked.fd);
    return pathlessListener(formatAddress(asked), address, socket.fd, () => socket.close());
  });
}

/**
 * Takes up sockets that a predecessor has left to this process; those that have lost their names are to be bound anew.
 *
 * @param onKept called if other settings for who may connect could not be applied.
 * @throws UserError if the settings ask for a user or a group that is not there.
 */
export function inheritListeners(
  heirlooms: readonly Heirloom[],
  settings: ListenerSettings,
  events: PathEvents,
  onKept: (path: string, reason: string) => void,
): Listener[] {
  return heirlooms.flatMap(({ key, address, fd, spare, access: before }) => {
    let isOpen = true;
    const close = () => {
      if (isOpen) closeSync(fd);
      isOpen = false;
    };
    if (address.kind !== 'unix' || spare === undefined) return pathlessListener(key, address, fd, close);
    const access = accessOf(settings);
    const name = SocketPath.inherited(address.path, spare, events);
    if (name) {
      let asBefore = before;
      // Where it is not known what a socket was given, so it stays.
      return unixListener(name, fd, before && access, close, () => {
        // Once, and not sooner: until it is published the predecessor may go on with it.
        if (!asBefore) return;
        try {
          changeAccess(name.spare, name.inode, asBefore, access);
        } catch (error) {
          // It serves, which is worth more.
          onKept(name.path, (error as Error).message);
        }
        asBefore = undefined;
      });
    }
    close();
    return [];
  });
}

/** What a successor needs to inherit a listener. */
export function heirloomOf({ key, address, inherited, access }: Listener, fd: number): Heirloom {
  return { key, address, fd, spare: inherited.spare, access };
}

/**
 * Checks what can be checked about the addresses without binding them, also while a server is running there.
 *
 * @throws UserError as `openListeners` would.
 */
export function checkListeners({ bind, socketGroup, reusePort }: ListenerSettings): void {
  if (socketGroup !== undefined) groupNumber('--socket-group', socketGroup);
  if (reusePort) assertReusable();
  for (const address of bind) {
    if (address.kind === 'unix') assertPossible(address.path);
    if (address.kind === 'abstract') assertAbstract(address.name);
  }
}

async function openListener(
  address: Address,
  settings: ListenerSettings,
  events: PathEvents,
  there: readonly Listener[],
): Promise<Listener> {
  switch (address.kind) {
    case 'unix':
      return openUnix(settings, address.path, events);
    case 'abstract':
      return openAbstract(address.name);
    case 'tcp':
      return openTcp(settings, address, there);
    case 'fd':
      throw new UserError(
        `--bind ${formatAddress(address)}: a descriptor can be passed on at the start only; restart the server`,
      );
  }
}

async function openUnix(settings: ListenerSettings, path: string, events: PathEvents): Promise<Listener> {
  const access = accessOf(settings);
  assertPossible(path);
  await assertFree(path, settings.takeover);
  const bound = hiddenName(path);
  // So that it has its mode from its first moment; in a directory with a default ACL the umask does not count.
  const umask = process.umask(~access.mode & 0o777);
  const socket = bindUnix(bound);
  process.umask(umask);
  if ('error' in socket)
    throw new UserError(`--bind unix:${path}: cannot bind a socket in its directory (${socket.error})`);
  try {
    giveAccess(bound, undefined, access);
    return unixListener(SocketPath.ofBound(path, bound, events), socket.fd, access, () => socket.close());
  } catch (error) {
    socket.close();
    throw accessRefused(path, error, access);
  }
}

/** @param onPublished called whenever it was published. */
function unixListener(
  name: SocketPath,
  fd: number,
  access: Access | undefined,
  close: () => void,
  onPublished = () => {},
): Listener {
  const address: SocketAddress = { kind: 'unix', path: name.path };
  return {
    key: formatAddress(address),
    address,
    fd,
    close,
    inherited: { address, spare: name.spare, inode: name.inode },
    access,
    get isThere() {
      return name.isThere;
    },
    async publish(replace) {
      if (!(await name.publish(replace))) return false;
      onPublished();
      return true;
    },
    check: () => name.check(),
    withdraw: () => name.withdraw(),
    release: () => name.release(),
    reclaim: () => name.reclaim(),
    handOver: () => name.handOver(),
  };
}

async function openTcp(
  settings: ListenerSettings,
  { host, port }: Extract<Address, { kind: 'tcp' }>,
  there: readonly Listener[],
): Promise<Listener> {
  const { reusePort } = settings;
  if (reusePort) assertReusable();
  const asked = formatAddress({ kind: 'tcp', host, port });
  const { address: ip, family } = await lookup(host).catch((error) => {
    throw new UserError(`--bind ${asked}: cannot resolve ${host} (${errorCode(error)})`);
  });
  const socket = bindTcp(ip, { port, family, reusePort });
  if ('error' in socket) {
    const ours = there.find(({ address }) => address.kind === 'tcp' && address.port === port);
    throw new UserError(`--bind ${asked}: ${tcpReason(socket.error, settings, ours?.key)}`);
  }
  const address: SocketAddress = { kind: 'tcp', host, port: socket.local!.port };
  return pathlessListener(asked, address, socket.fd, () => socket.close());
}

/** The first release whose libuv does not fill such names up with NULs, which makes them others: 1.48. */
const ABSTRACT_SINCE = 22;
/** What fits sun_path after its NUL, in bytes. */
const MAX_ABSTRACT = 107;

/** @throws UserError if there can be no such name here. */
function assertAbstract(name: string): void {
  const refuse = (reason: string) => new UserError(`--bind unix:@${name}: ${reason}`);
  if (process.platform !== 'linux') throw refuse('abstract names are there on Linux only');
  if (Number.parseInt(process.versions.node, 10) < ABSTRACT_SINCE)
    throw refuse(
      `abstract names take Node ${ABSTRACT_SINCE} or newer, this is ${process.versions.node}: nobody else would find the name that it binds`,
    );
  const bytes = Buffer.byteLength(name);
  if (bytes > MAX_ABSTRACT)
    throw refuse(`the name has ${bytes} bytes, and the system takes ${MAX_ABSTRACT} at most`);
}

function openAbstract(name: string): Listener {
  assertAbstract(name);
  const address: SocketAddress = { kind: 'abstract', name };
  const key = formatAddress(address);
  const socket = bindUnix(`\0${name}`);
  if (!('error' in socket)) return pathlessListener(key, address, socket.fd, () => socket.close());
  const reason =
    socket.error === 'EADDRINUSE'
      ? 'another server has that name; stop it, or choose another (EADDRINUSE)'
      : `cannot bind it (${socket.error})`;
  throw new UserError(`--bind ${key}: ${reason}`);
}

/** A socket without a path that is ours: it is found as long as anybody has it open. */
function pathlessListener(key: string, address: SocketAddress, fd: number, close: () => void): Listener {
  const nothing = () => {};
  let withdrawn = false;
  const withdraw = () => {
    withdrawn = true;
  };
  return {
    key,
    address,
    fd,
    close,
    inherited: { address },
    isThere: true,
    publish: async () => !withdrawn,
    check: nothing,
    withdraw,
    release: nothing,
    reclaim: nothing,
    handOver: withdraw,
  };
}

/** @throws UserError where Node does not hand the wish to share a port down to the system. */
function assertReusable(): void {
  const { node } = process.versions;
  if (Number.parseInt(node, 10) < REUSABLE_SINCE)
    throw new UserError(`--reuse-port takes Node ${REUSABLE_SINCE}.12 or newer, this is ${node}`);
}

/** The first release that can: 22.12, the oldest of its line that we take. */
const REUSABLE_SINCE = 22;

/** @param ours where this server has the port already, if it does. */
function tcpReason(
  code: string,
  { takeover, reusePort }: ListenerSettings,
  ours: string | undefined,
): string {
  if (code === 'EADDRINUSE' && ours !== undefined)
    return `this server has the port at ${ours} until it ends: such a change takes a restart (EADDRINUSE)`;
  if (code === 'EADDRINUSE' && takeover)
    return 'the port is taken, and only Unix sockets with a path can be taken over; choose another (EADDRINUSE)';
  if (code === 'EADDRINUSE' && reusePort)
    return 'the port is taken by another user, or by a server that does not share it (EADDRINUSE)';
  if (code === 'EADDRINUSE') return 'the port is taken; stop who has it, or choose another (EADDRINUSE)';
  if (code === 'ENOTSUP') return 'this system cannot share a port; drop --reuse-port (ENOTSUP)';
  if (code === 'EACCES')
    return 'no permission for that port; below 1024 it takes root or CAP_NET_BIND_SERVICE (EACCES)';
  if (code === 'EADDRNOTAVAIL') return 'this machine does not have that address (EADDRNOTAVAIL)';
  return `cannot bind it (${code})`;
}
