/**
 * What the control socket tells about a running server: the shape of `GET /status`. The arbiter fills it in,
 * `fasticorn status` shows it.
 */
import type { Config } from './config/settings.ts';
import type { Beat } from './protocol.ts';

/** The answer to `GET /status`. Times are in seconds, sizes in bytes. */
export interface Status {
  arbiter: {
    pid: number;
    /** The pid namespace that the number belongs to, where the system has such: containers have one each. */
    pidNamespace: string | null;
    version: string;
    node: string;
    app: string;
    /** `starting` until somebody serves, `reloading` and `upgrading` while a new generation is on trial. */
    phase: 'starting' | 'serving' | 'reloading' | 'upgrading' | 'paused' | 'stopping';
    uptime: number;
    rss: number;
  };
  /** How many workers are wanted, by the settings or the last `scale`. */
  wanted: number;
  /** The generation that serves, and the one on trial during a reload. */
  generation: { current: number; next: number | null };
  workers: WorkerStatus[];
  /** The last worker exits, newest first, with their reasons. */
  exits: { time: string; worker: number; generation: number; pid: number | null; reason: string }[];
  sockets: SocketStatus[];
  /** Every setting as text, and where it came from. */
  settings: Record<string, { value: string | null; source: string }>;
}

/** One worker, with the numbers of its last beat. */
export interface WorkerStatus extends Partial<Beat> {
  worker: number;
  generation: number;
  pid: number | null;
  phase: 'booting' | 'ready' | 'retiring' | 'stuck';
  /** Seconds since it was started. */
  age: number;
  /** Seconds for which nothing was heard of it, so that the numbers are as old; about one in a healthy worker. */
  silent?: number;
}

/** One listening socket. Depth and limit of the accept queue are null where the system does not tell. */
export interface SocketStatus {
  address: string;
  queue: number | null;
  limit: number | null;
}

/** Whether the server is alive, and whether it wants traffic; the reason is there when either is not so. */
export interface Health {
  healthy: boolean;
  ready: boolean;
  reason?: string | undefined;
}

/**
 * Where the control socket of a server is: beside the first Unix socket, whose place others know, or under a name with
 * its pid. Undefined if it has none.
 */
export function controlPath(
  { bind, controlSocket }: Pick<Config, 'bind' | 'controlSocket'>,
  pid: number,
): string | undefined {
  if (controlSocket === 'off') return undefined;
  const beside = bind.find((address) => address.kind === 'unix');
  return controlSocket ?? (beside ? `${beside.path}.ctl` : `/tmp/fasticorn-${pid}.ctl`);
}

/** Whether a file name is the last of those above, whatever the pid, or a hidden one that goes with it. */
export function isNamedByPid(name: string): boolean {
  return /^\.?fasticorn-\d+\.ctl(\.[0-9a-f]{8})?$/.test(name);
}
