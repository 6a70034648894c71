/**
 * What happens to a server, as the hooks of the config file are told of it: the events, and the table of hooks from
 * which the README's is made. Pure; where events arise is in the arbiter, and how hooks are run in `hooks/host.ts`.
 *
 * Every event is plain data. Times that something took are milliseconds, and memory is bytes.
 */
import type { InFlight } from './protocol.ts';

/** What every event says. */
interface Event<Type extends string> {
  /** The name of the hook. */
  type: Type;
  /** When it happened (ISO 8601); a hook may run later, as it waits for those before it. */
  time: string;
}

/** Which worker it is about. */
interface OfWorker {
  /** The place of the worker among all, from 1; its replacement has the same. */
  worker: number;
  /** The generation of workers that it belongs to; each reload starts another one. */
  generation: number;
}

export interface StartingEvent extends Event<'onStarting'> {
  /** The process id of the arbiter. */
  pid: number;
  /** The version of fasticorn. */
  version: string;
  /** The app as it was given. */
  app: string;
  /** Where it will listen: `unix:/tmp/app.sock`, `127.0.0.1:8000`. */
  addresses: string[];
  /** How many workers are wanted. */
  workers: number;
}

export interface ReadyEvent extends Event<'whenReady'> {
  pid: number;
  addresses: string[];
  /** Milliseconds since the arbiter began. */
  took: number;
}

export interface ReloadEvent extends Event<'onReload'> {
  /** Whether the new generation serves; otherwise everything is as it was. */
  ok: boolean;
  /** The generation that serves now. */
  generation: number;
  /** What the log says of it: why it failed. */
  message: string;
}

export interface WorkerReadyEvent extends Event<'workerReady'>, OfWorker {
  pid: number;
  /** Milliseconds since it was started. */
  took: number;
}

export interface WorkerExitEvent extends Event<'workerExit'>, OfWorker {
  /** Null if the process could not be started at all. */
  pid: number | null;
  /** The exit code, unless a signal ended it. */
  code: number | null;
  /** The signal that ended it. */
  signal: `SIG${string}` | null;
  /** Whether it was told to go, and went by itself and in time. */
  expected: boolean;
  /** Why it ended, in words. */
  reason: string;
}

export interface WorkerStuckEvent extends Event<'workerStuck'>, OfWorker {
  pid: number;
  /** `timeout`: its event loop did not turn; `boot timeout`: it did not become ready. */
  why: 'timeout' | 'boot timeout';
  /** What it was doing, the innermost frame first; null where that could not be found out. */
  stack: string | null;
  /** The requests that it was answering; `age` in milliseconds. */
  inFlight: InFlight[];
  /** Its memory in bytes; null where that could not be found out. */
  rss: number | null;
}

export interface ExitEvent extends Event<'onExit'> {
  /** What the arbiter is about to exit with. */
  exitCode: number;
}

export type ServerEvent =
  | StartingEvent
  | ReadyEvent
  | ReloadEvent
  | WorkerReadyEvent
  | WorkerExitEvent
  | WorkerStuckEvent
  | ExitEvent;

/** An event as it arises, before it gets its time. */
export type Happening = ServerEvent extends infer One
  ? One extends ServerEvent
    ? Omit<One, 'time'>
    : never
  : never;

/**
 * The hooks of a config file. They run one at a time in a process of their own, and what they return is waited for;
 * whatever they do, the server goes on.
 */
export interface Hooks {
  /** The arbiter has its sockets, and is about to start the first worker. */
  onStarting?: (event: StartingEvent) => unknown;
  /** The server can be reached: the first worker is ready. */
  whenReady?: (event: ReadyEvent) => unknown;
  /** A reload has succeeded or failed. After success the hooks of the new config file are told. */
  onReload?: (event: ReloadEvent) => unknown;
  /** A worker serves. */
  workerReady?: (event: WorkerReadyEvent) => unknown;
  /** A worker has ended, for whatever reason. */
  workerExit?: (event: WorkerExitEvent) => unknown;
  /** A worker is about to be killed, as it does nothing any more; `workerExit` follows. */
  workerStuck?: (event: WorkerStuckEvent) => unknown;
  /** All workers have ended, and the arbiter is about to. */
  onExit?: (event: ExitEvent) => unknown;
}

export type HookName = keyof Hooks;

/** What is said about a hook. */
interface HookRow<Type extends HookName> {
  /** A sentence that says what has happened. */
  when: string;
  /** What its event says, and in what unit. */
  fields: Record<Exclude<keyof Extract<ServerEvent, { type: Type }>, 'type' | 'time'>, string>;
}

/** The table of hooks, in the order in which a server tells them. */
export const hooks: { [Name in HookName]-?: HookRow<Name> } = {
  onStarting: {
    when: 'The arbiter is about to start the first worker.',
    fields: { pid: '', version: '', app: '', addresses: '', workers: '' },
  },
  workerReady: {
    when: 'A worker serves.',
    fields: { worker: '', generation: '', pid: '', took: 'ms' },
  },
  whenReady: {
    when: 'The server can be reached: after the first `workerReady`, and perhaps before others.',
    fields: { pid: '', addresses: '', took: 'ms' },
  },
  onReload: {
    when: 'A reload has succeeded, or failed and changed nothing.',
    fields: { ok: '', generation: '', message: '' },
  },
  workerStuck: {
    when: 'A worker is about to be killed for `--timeout` or `--boot-timeout`; `workerExit` follows.',
    fields: {
      worker: '',
      generation: '',
      pid: '',
      why: '',
      stack: 'or null',
      inFlight: 'method, url, id, age in ms',
      rss: 'bytes, or null',
    },
  },
  workerExit: {
    when: 'A worker has ended; `expected` if it was told to go and went in time.',
    fields: {
      worker: '',
      generation: '',
      pid: '',
      code: 'or null',
      signal: 'or null',
      expected: '',
      reason: '',
    },
  },
  onExit: {
    when: 'All workers have ended, and the arbiter is about to.',
    fields: { exitCode: '' },
  },
};

/** The keys under which a config file may have functions. */
export const hookNames = Object.keys(hooks) as HookName[];

/** The hooks that a config file has. */
export interface HookFile {
  /** The path of the file as people know it, for messages. */
  path: string;
  /** What that led to when it was read. */
  file: string;
  names: HookName[];
}

/** The arbiter to the process of the hooks: run the hook of this event. One at a time. */
export interface HookOrder {
  id: number;
  event: ServerEvent;
}

/** What went wrong with a hook, or with the file that has it. */
export interface HookError {
  message: string;
  /** Absent where nothing was thrown. */
  stack?: string;
}

/** The process of the hooks to the arbiter. */
export type HookReport =
  | { type: 'loaded' }
  /** The hook of this order has ended. */
  | { type: 'done'; id: number; error?: HookError }
  /** The file cannot be loaded, or something failed that nobody waits for: the process is about to exit. */
  | { type: 'failed'; error: HookError };

/** Whether the process of the hooks has said something that makes sense: the config file has the same channel. */
export function isHookReport(value: unknown): value is HookReport {
  const { type, id, error } = Object(value) as Record<string, unknown>;
  const isError = typeof (Object(error) as HookError).message === 'string';
  if (type === 'done') return Number.isInteger(id) && (error === undefined || isError);
  return type === 'loaded' || (type === 'failed' && isError);
}
