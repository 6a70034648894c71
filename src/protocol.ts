/**
 * What the arbiter and a worker say to each other over the worker's IPC channel.
 */
import type { Address, SocketAddress } from './address.ts';
import type { Config } from './config/settings.ts';
import type { Inode } from './inode.ts';

/** The app as the command line names it: `module` or `module:export`. */
export type AppSpec = string;

/** What an app can be taken for, whatever it looks like. */
export type AppType = 'plugin' | 'listener' | 'factory' | 'instance' | 'script';

/** What becomes of a port that an app listens on besides its first: that of a `--bind`, or the first worker's own. */
export interface PortAdoption {
  port: number;
  to: Address | 'first';
}

/** A listening socket that a worker inherits. */
export interface InheritedSocket {
  /** The address as text, just as it was asked for. */
  key: string;
  /** The worker's descriptor number. */
  fd: number;
  /** The address as it was asked for, with the port that the system chose; of a descriptor, what it is bound to. */
  address: SocketAddress;
  /** The hidden second name of a Unix socket, for a worker that has to remove it as the last one standing. */
  spare?: string;
  /** The file behind both names; absent where there is none that is ours. */
  inode?: Inode;
}

/**
 * How a worker goes: `stop` empties the accept queue first, since nobody else will; `retire` leaves the queue to
 * the other workers; `quick` gives requests in flight one second and the queue nothing.
 */
export type Farewell = 'stop' | 'retire' | 'quick';

/**
 * What goes over the channel. The app has the same channel under `process.send`, and what it says there is not for us:
 * only what carries the key of this worker is.
 */
export type Envelope<T> = { key: string; content: T };

/** What TLS is spoken with; the arbiter reads it, as the workers may not be allowed to. */
export interface TlsIdentity {
  /** PEM, with what leads to the root. */
  cert: string;
  /** PEM, not encrypted. */
  key: string;
  /** 48 bytes in base64: with the same ones all workers can resume each other's sessions. */
  ticketKeys: string;
}

/** Arbiter to worker. */
export type Order =
  | {
      type: 'start';
      app: AppSpec;
      /** What followed `--` on the command line. */
      args: readonly string[];
      config: Config;
      worker: number;
      generation: number;
      sockets: InheritedSocket[];
      published: boolean;
      /** Its generation serves already: a log that cannot be opened is no reason not to. */
      serves: boolean;
      /** The public names are not ours yet, and would lead to sockets of our own; absent otherwise. */
      contested?: boolean;
      /** Absent without TLS. */
      identity?: TlsIdentity | undefined;
      /** Absent, and to be taken for true, where an older arbiter starts workers of what was installed since. */
      isMemoryLimited?: boolean;
    }
  /** The app is only to be loaded, and the result reported. */
  | { type: 'check'; app: AppSpec; args: readonly string[]; config: Config }
  /** The sockets' public names are ours from now on: should the arbiter be killed, the workers remove them. */
  | { type: 'published' }
  /** `abandoned` are descriptors of sockets that nobody will accept on any more: their queues are emptied as well. */
  | { type: 'leave'; how: Farewell; abandoned: readonly number[] }
  /** The log files have been moved away: open them anew, and report that under the same number. */
  | { type: 'reopen'; number: number }
  /** Let a debugger attach: nobody else has the port now. */
  | { type: 'inspect'; host: string; port: number };

/** What a worker tells of itself about once a second. */
export interface Beat {
  /** Requests that are over. */
  requests: number;
  inFlight: number;
  connections: number;
  /** Bytes. */
  rss: number;
  /** Bytes of the JavaScript heap in use. */
  heap: number;
  /** Share of the time since the last beat in which the event loop was busy, 0 to 1. */
  utilization: number;
  /** How late the event loop was with this beat, in milliseconds. */
  delay: number;
}

/** Worker to arbiter. */
export type Report =
  /** `shape` says in words what the app was taken for. */
  | { type: 'ready'; shape: string }
  | { type: 'beat'; beat: Beat }
  /** The worker cannot serve, and is about to exit. A stack is there if it is the app's own. */
  | { type: 'failed'; exitCode: number; message: string; stack?: string | undefined }
  /** It cannot go on, for a reason of its app's that follows its name: it drains by itself and wants to be replaced. */
  | { type: 'broken'; why: string; stack?: string | undefined }
  /** The logs were opened anew, or why one was not. */
  | { type: 'reopened'; number: number; obstacle?: string | undefined }
  /** A worker that was told to stop has emptied the accept queues, and accepts nothing any more. */
  | { type: 'emptied' }
  /** A worker that was told to leave takes no request any more; only said with --watch. */
  | { type: 'silent' }
  /** The worker itself received SIGTERM: it goes on until the arbiter has a replacement. */
  | { type: 'asked-to-leave' };

/** Whether a worker has said something that makes sense: its app, which may be out of order, has the same channel. */
export function isReport(value: unknown): value is Report {
  const report = Object(value) as Record<string, unknown>;
  switch (report.type) {
    case 'ready':
      return typeof report.shape === 'string';
    case 'beat': {
      const beat = Object.values(Object(report.beat) as Beat);
      return beat.length > 0 && beat.every(Number.isFinite);
    }
    case 'failed':
      return Number.isInteger(report.exitCode) && typeof report.message === 'string';
    case 'reopened':
      return Number.isInteger(report.number) && ['string', 'undefined'].includes(typeof report.obstacle);
    case 'broken':
      return typeof report.why === 'string';
    case 'asked-to-leave':
    case 'emptied':
    case 'silent':
      return true;
    default:
      return false;
  }
}

/** A request that is being answered, as an autopsy shows it. */
export interface InFlight {
  method: string;
  url: string;
  id: string;
  /** Milliseconds. */
  age: number;
}

/**
 * The key, for `Symbol.for`, under which a worker keeps a function on its global object that returns its `InFlight[]`:
 * an autopsy calls it in a process that does nothing any more by itself.
 */
export const IN_FLIGHT = 'fasticorn.inFlight';

/** How often a worker beats, in seconds, so that no single late beat looks like a stuck worker. 0 for a timeout of 0, which is none. */
export function beatEvery(timeout: number): number {
  return timeout === 0 ? 1 : Math.min(1, timeout / 4);
}
