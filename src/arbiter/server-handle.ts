/**
 * Sockets that are bound, or were passed to us, and that nobody accepts on yet. The only file that touches a private
 * net handle; what is bound where, and why not, is the business of those who call.
 */
import * as net from 'node:net';
import { getSystemErrorName } from 'node:util';

/** What libuv gives for a bound socket. */
interface Handle {
  readonly fd: number;
  /** Only TCP has these two. */
  getsockname?(out: Partial<Endpoint>): number;
  getpeername?(out: Partial<Endpoint>): number;
  close(): void;
}

/**
 * What `node:cluster` binds with: unlike the public listen() it neither listens nor accepts, so that no connection
 * is ever taken by the arbiter. Returns a negative error number on failure.
 */
const createServerHandle = (
  net as unknown as {
    _createServerHandle(
      address: string | null,
      port: number | null,
      addressType: number | null,
      fd?: number | null,
      flags?: number,
    ): Handle | number;
  }
)._createServerHandle;

/** libuv's UV_TCP_REUSEPORT, since 1.49; Node passes flags on for IPv4 since 22.12. */
const REUSE_PORT = 2;

/** One end of a TCP socket. */
export interface Endpoint {
  address: string;
  port: number;
}

/** A bound socket; closing it may be done more than once. */
export interface BoundSocket {
  fd: number;
  close(): void;
  /** For TCP, where it is bound; undefined for a Unix socket. */
  local: Endpoint | undefined;
  /** Whether it is one end of a TCP connection. */
  isConnected: boolean;
}

/** Why a socket could not be had: the system's name of the error, such as `EADDRINUSE`. */
export interface BindFailure {
  error: string;
}

/**
 * Binds a Unix socket. A missing directory is reported as EACCES.
 *
 * @param name a path, or an abstract name after a NUL.
 */
export function bindUnix(name: string): BoundSocket | BindFailure {
  return taken(createServerHandle(name, -1, -1));
}

/**
 * Binds a port of an IP address.
 *
 * @param reusePort sets SO_REUSEPORT, so that other servers of this user that do so as well may bind it, too.
 */
export function bindTcp(
  ip: string,
  { port, family, reusePort }: { port: number; family: number; reusePort: boolean },
): BoundSocket | BindFailure {
  return taken(createServerHandle(ip, port, family, null, reusePort ? REUSE_PORT : 0));
}

/** Takes up a descriptor of a stream socket; EINVAL if it is none. */
export function takeUp(fd: number): BoundSocket | BindFailure {
  return taken(createServerHandle(null, null, null, fd));
}

function taken(handle: Handle | number): BoundSocket | BindFailure {
  if (typeof handle === 'number') return { error: getSystemErrorName(handle) };
  const local: Partial<Endpoint> = {};
  // libuv keeps EADDRINUSE back until the next call on the handle.
  const failed = handle.getsockname?.(local) ?? 0;
  if (failed < 0) {
    handle.close();
    return { error: getSystemErrorName(failed) };
  }
  return {
    fd: handle.fd,
    close: () => handle.close(),
    local: handle.getsockname ? (local as Endpoint) : undefined,
    isConnected: handle.getpeername?.({}) === 0,
  };
}
