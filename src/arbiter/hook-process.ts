/**
 * A process that runs hooks: started, given one event at a time, ended. It is no child of the terminal's group, so that
 * an interrupt leaves it to run `onExit`. Knows the process and its limits of time; which event it gets, and when there
 * is a new process, is decided by `hook-queue.ts`.
 */
import type { ChildProcess } from 'node:child_process';
import { spawnConfigProcess } from '../config-process.ts';
import { type HookError, type HookOrder, isHookReport, type ServerEvent } from '../events.ts';
import { HOOK_HOST } from '../places.ts';

/** How long the file may take to be loaded, in milliseconds. */
const LOAD_LIMIT = 10_000;
/** How long its exit handlers may take, in milliseconds. */
const END_LIMIT = 1_000;

const PROGRAM = `
const { serve } = await import(process.argv[2]);
await serve(() => load(process.argv[1]));
`;

/** Where hooks run: as their file did when it was read. */
export interface HookSurroundings {
  directory: string;
  env: NodeJS.ProcessEnv;
}

/** A process that has the config file, and runs its hooks. */
export class HookProcess {
  readonly #child: ChildProcess;
  /** Resolves when the file is loaded, or cannot be: then the process is gone. */
  readonly loaded: Promise<HookError | undefined>;
  readonly #ended: Promise<void>;
  #isGone = false;
  /** Ends the wait for what it does now: loading the file, or running a hook. */
  #settle: ((error?: HookError) => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastId = 0;

  /**
   * @param file the path of the config file.
   * @param onError told of what goes wrong while it does nothing that anybody waits for.
   * @throws Error if the system has no process for us.
   */
  constructor(file: string, { directory, env }: HookSurroundings, onError: (error: HookError) => void) {
    const child = spawnConfigProcess(PROGRAM, [file, HOOK_HOST], {
      cwd: directory,
      env,
      // What hooks print goes to standard error, as what their file prints. Descriptor 3 is not ours, as in a worker.
      stdio: ['ignore', 2, 2, 'ignore', 'ipc'],
      detached: true,
    });
    this.#child = child;
    this.loaded = this.#settled(LOAD_LIMIT);
    this.#ended = new Promise((resolve) => {
      const gone = (message: string) => {
        const isNews = !this.#isGone;
        this.#isGone = true;
        if (this.#settle) this.#settle({ message });
        else if (isNews) onError({ message });
        resolve();
      };
      child.on('exit', (code, signal) => gone(`its process ended (${signal ?? `exit code ${code}`})`));
      child.on('error', ({ message }) => {
        if (child.pid === undefined) gone(message);
      });
    });
    child.on('message', (report: unknown) => {
      if (!isHookReport(report)) return;
      if (report.type === 'loaded' && this.#lastId === 0) this.#settle?.();
      else if (report.type === 'done' && report.id === this.#lastId) this.#settle?.(report.error);
      else if (report.type === 'failed') {
        this.#isGone = true;
        if (this.#settle) this.#settle(report.error);
        else onError(report.error);
      }
    });
  }

  /** Whether it cannot run anything any more. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /**
   * Runs the hook of an event, and resolves when that has ended, with what went wrong. One at a time.
   *
   * @param limit how long it may take, in milliseconds; then the process is killed.
   */
  run(event: ServerEvent, limit: number): Promise<HookError | undefined> {
    const order: HookOrder = { id: ++this.#lastId, event };
    const settled = this.#settled(limit);
    if (this.#child.connected) this.#child.send(order, () => {});
    else this.kill();
    return settled;
  }

  /** What it does now has only so many milliseconds left. */
  hurry(limit: number): void {
    if (this.#settle) this.#limitTo(limit);
  }

  /** Has it end, as it has nothing more to do, and resolves when it has. */
  end(): Promise<void> {
    this.#isGone = true;
    if (this.#child.connected) this.#child.disconnect();
    const timer = setTimeout(() => this.kill(), END_LIMIT);
    return this.#ended.finally(() => clearTimeout(timer));
  }

  /** Ends it at once, with what its hooks have started. */
  kill(): void {
    this.#isGone = true;
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // Where there is no such group.
      this.#child.kill('SIGKILL');
    }
  }

  #settled(limit: number): Promise<HookError | undefined> {
    return new Promise((resolve) => {
      this.#settle = (error) => {
        clearTimeout(this.#timer);
        this.#settle = undefined;
        resolve(error);
      };
      this.#limitTo(limit);
    });
  }

  #limitTo(limit: number): void {
    clearTimeout(this.#timer);
    const settle = this.#settle;
    const late = () => {
      if (this.#settle !== settle) return;
      this.kill();
      settle?.({ message: `it was not done after ${limit / 1000} s, and was killed` });
    };
    // An arbiter that was stopped for a while first reads what it was told meanwhile.
    this.#timer = setTimeout(() => setImmediate(late), limit);
  }
}
