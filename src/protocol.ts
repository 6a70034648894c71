/**
 * What the arbiter and a worker say to each other over the worker's IPC channel.
 */
import type { Address } from './address.ts';
import type { Config } from './config/settings.ts';
import type { Inode } from './inode.ts';

/** The app as the command line names it: `module` or `module:export`. */
export type AppSpec = string;

/** The listening socket that a worker inherits. */
export interface InheritedSocket {
  /** The worker's descriptor number. */
  fd: number;
  /** The address as it was asked for, with the port that the system chose. */
  address: Address;
  /** The names by which the socket is reachable, for a worker that has to remove them as the last one standing. */
  names: readonly string[];
  /** The file behind these names; absent for TCP. */
  inode?: Inode;
}

/**
 * How a worker goes: `stop` empties the accept queue first, since nobody else will; `retire` leaves the queue to
 * the other workers; `quick` gives requests in flight one second and the queue nothing.
 */
export type Farewell = 'stop' | 'retire' | 'quick';

/** Arbiter to worker. */
export type Order =
  | { type: 'start'; app: AppSpec; config: Config; worker: number; socket: InheritedSocket | undefined }
  | { type: 'leave'; how: Farewell };

/** Worker to arbiter. */
export type Report =
  | { type: 'ready' }
  /** The worker cannot serve, and is about to exit. A stack is there if it is the app's own. */
  | { type: 'failed'; exitCode: number; message: string; stack?: string }
  /** An error that the app did not catch: the worker drains by itself and wants to be replaced. */
  | { type: 'broken' }
  /** The worker itself received SIGTERM: it goes on until the arbiter has a replacement. */
  | { type: 'asked-to-leave' };
