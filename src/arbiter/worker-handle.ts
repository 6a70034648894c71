/**
 * One worker process as the arbiter holds it: started with the listening descriptor, spoken to over IPC, killed.
 * Knows child processes; when to do what is decided elsewhere.
 */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import type { Launch } from '../launch.ts';
import { WORKER } from '../places.ts';
import { type Beat, type Envelope, isReport, type Order, type Report } from '../protocol.ts';
import { startError } from '../start-error.ts';
import { AUTOPSY_FLAGS } from './autopsy.ts';
import { type Credentials, commandAs } from './credentials.ts';

/** What becomes of a worker. */
export interface WorkerEvents {
  onReport(report: Report): void;
  /** Called with what others than our worker say over the channel: Node, and the app. */
  onStray?(message: unknown): void;
  /** Called exactly once, also if the process could not be started at all. */
  onExit(how: WorkerExit): void;
}

/** How a process ended; `error` if there never was one. */
export type WorkerExit = { code: number } | { signal: NodeJS.Signals } | { error: Error };

/**
 * In a worker, and in a successor, after the standard streams and 3. There a successor has its channel, and a worker nothing
 * of ours, as some programs write there that they are ready: its channel follows the sockets.
 */
export const FIRST_SOCKET_FD = 4;

/** A running worker. */
export class WorkerHandle {
  readonly #child: ChildProcess | undefined;
  /** What marks a message as ours; none until the first order, before which a worker has nothing to say. */
  #key: string | undefined;
  /** What it has last told of itself. */
  beat: Beat | undefined;

  /**
   * @param sockets the arbiter's descriptors of the listening sockets; none for a worker that only checks.
   * @param directory where the worker runs.
   * @param how with which flags and environment, and as whom; without credentials as we are.
   */
  constructor(
    sockets: readonly number[],
    directory: string,
    { launch, credentials }: { launch: Launch; credentials: Credentials | undefined },
    events: WorkerEvents,
  ) {
    const stdio: StdioOptions = ['ignore', 'inherit', 'inherit', 'ignore', ...sockets, 'ipc'];
    const node = [...launch.flags, ...AUTOPSY_FLAGS, WORKER];
    const { file, args, options } = commandAs(credentials, process.execPath, node);
    try {
      this.#child = spawn(file, args, { ...options, stdio, cwd: directory, env: launch.env });
    } catch (error) {
      // Node throws where fork(2) finds no memory; the caller does not know this handle yet.
      setImmediate(() => events.onExit({ error: error as Error }));
      return;
    }
    let over = false;
    const exit = (how: WorkerExit) => {
      if (over) return;
      over = true;
      events.onExit(how);
    };
    const child = this.#child;
    child.on('message', (message: Envelope<Report> | null) => {
      if (this.#key === undefined || message?.key !== this.#key) return events.onStray?.(message);
      const report: unknown = message.content;
      if (!isReport(report)) return events.onStray?.(message);
      if (report.type === 'beat') this.beat = report.beat;
      events.onReport(report);
    });
    child.on('exit', (code, signal) => exit(signal ? { signal } : { code: code ?? 0 }));
    child.on('error', (error) => {
      if (child.pid === undefined) exit({ error: startError(error, directory) });
    });
  }

  /** The process id; undefined if the process could not be started. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Sends an order. A worker that is already going cannot hear it, which is fine: its exit will be seen. */
  tell(order: Order): void {
    // Only now, with the process started, as the module takes long to load.
    this.#key ??= process.getBuiltinModule('node:crypto').randomUUID();
    const envelope: Envelope<Order> = { key: this.#key, content: order };
    if (this.#child?.connected) this.#child.send(envelope, () => {});
  }

  /** Ends the process without asking it. */
  kill(): void {
    this.#child?.kill('SIGKILL');
  }
}
