/**
 * The arbiter: holds the listening socket, and carries out what the plan says for its workers. Every event (a
 * signal, a report, an exit, the clock) only edits the state; then `settle` does what follows from it. Knows no
 * HTTP and never accepts a connection.
 */
import { formatAddress } from '../address.ts';
import { signals } from '../commands.ts';
import type { Config } from '../config/settings.ts';
import { ExitCode, UserError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { AppSpec, Report } from '../protocol.ts';
import { exitLine } from './exit-line.ts';
import type { Listener } from './listener.ts';
import { type Action, plan } from './plan.ts';
import {
  askedToLeave,
  becameReady,
  broke,
  type Ending,
  ending,
  exited,
  initialState,
  killed,
  published,
  retired,
  type State,
  spawned,
} from './state.ts';
import { SOCKET_FD, type WorkerEvents, type WorkerExit, WorkerHandle } from './worker-handle.ts';

/** How often the socket's name is looked at, in milliseconds, where the system does not tell of its loss. */
const TICK = 1_000;
/** npm passes on the interrupt that its child has got from the terminal already: two this close are one, in ms. */
const SAME_INTERRUPT = 300;

/** What the arbiter is made from. */
export interface ArbiterOptions {
  version: string;
  app: AppSpec;
  config: Config;
  listener: Listener;
  log: Logger;
}

type FailedReport = Extract<Report, { type: 'failed' }>;

/** Serves until it is told to stop. */
export class Arbiter {
  readonly #options: ArbiterOptions;
  readonly #log: Logger;
  readonly #startedAt = performance.now();
  readonly #workers = new Map<number, WorkerHandle>();
  /** Why workers could not boot, until their exit is seen. */
  readonly #failures = new Map<number, FailedReport>();
  #state: State;
  #timer: NodeJS.Timeout | undefined;
  #finish: (exitCode: number) => void = () => {};

  constructor(options: ArbiterOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#state = initialState(options.config.workers, {
      bootTimeout: options.config.bootTimeout * 1000,
      gracefulTimeout: options.config.gracefulTimeout * 1000,
    });
  }

  /** Runs until the server has ended, and resolves with the exit code. */
  async run(): Promise<number> {
    const { version, app, config, listener } = this.#options;
    const finished = new Promise<number>((resolve) => {
      this.#finish = resolve;
    });
    for (const signal of Object.keys(signals) as NodeJS.Signals[]) {
      process.on(signal, () => this.#onSignal(signal));
    }
    const tick = setInterval(() => listener.check(), TICK);
    const count = config.workers === 1 ? '1 worker' : `${config.workers} workers`;
    this.#log.info(
      `fasticorn ${version}: ${app} on ${formatAddress(listener.address)}, ${count}, pid ${process.pid}`,
    );
    this.#settle();
    const exitCode = await finished;
    clearInterval(tick);
    clearTimeout(this.#timer);
    listener.withdraw();
    listener.close();
    if (exitCode === ExitCode.ok) this.#log.info('stopped');
    return exitCode;
  }

  #onSignal(signal: NodeJS.Signals): void {
    const now = performance.now();
    switch (signals[signal]) {
      case 'stop':
        this.#end('graceful', ExitCode.ok, `${signal}: stopping once every request has its answer`);
        break;
      case 'stop-now': {
        const again = this.#state.ending?.how === 'quick';
        if (again && now - this.#state.ending!.since < SAME_INTERRUPT) break;
        if (again) this.#end('now', ExitCode.ok, `${signal} again: ending at once`);
        else this.#end('quick', ExitCode.ok, `${signal}: stopping; requests in flight have one second`);
        break;
      }
      default:
        this.#log.warn(`${signal} has no meaning in this version and is ignored`);
    }
  }

  #end(how: Ending['how'], exitCode: number, why: string): void {
    const before = this.#state;
    this.#state = ending(before, how, exitCode, performance.now());
    if (this.#state === before) return;
    this.#log.info(why);
    this.#settle();
  }

  /** Does what the plan says until it says nothing more, and sees to it that it is asked again in time. */
  #settle(): void {
    // Once we are to end nobody new may come: the workers empty the queue, and they can only do so if it ends.
    if (this.#state.ending) this.#options.listener.withdraw();
    for (;;) {
      const { actions, wakeAt } = plan(this.#state, performance.now());
      for (const action of actions) this.#do(action);
      if (actions.some((action) => action.type === 'exit')) return;
      if (actions.length > 0) continue;
      clearTimeout(this.#timer);
      if (wakeAt !== undefined) {
        this.#timer = setTimeout(() => this.#settle(), Math.max(0, Math.ceil(wakeAt - performance.now())));
      }
      return;
    }
  }

  #do(action: Action): void {
    switch (action.type) {
      case 'spawn':
        this.#spawn(action.slot);
        break;
      case 'retire':
        if (action.farewell === 'retire')
          this.#log.info(`${this.#nameOf(action.id)} goes: its replacement is ready`);
        this.#state = retired(this.#state, action.id, action.farewell, performance.now());
        this.#workers.get(action.id)?.tell({ type: 'leave', how: action.farewell });
        break;
      case 'publish':
        this.#state = published(this.#state);
        void this.#publish();
        break;
      case 'kill':
        this.#state = killed(this.#state, action.id, action.why);
        this.#workers.get(action.id)?.kill();
        break;
      case 'exit':
        this.#finish(action.code);
    }
  }

  #spawn(slot: number): void {
    const { app, config, listener } = this.#options;
    const id = this.#state.nextId;
    this.#state = spawned(this.#state, slot, performance.now());
    const events: WorkerEvents = {
      onReport: (report) => this.#onReport(id, report),
      onExit: (how) => this.#onExit(id, how),
    };
    const worker = new WorkerHandle(listener.fd, events);
    this.#workers.set(id, worker);
    worker.tell({
      type: 'start',
      app,
      config,
      worker: slot,
      socket: { fd: SOCKET_FD, ...listener.inherited },
    });
  }

  #onReport(id: number, report: Report): void {
    const now = performance.now();
    switch (report.type) {
      case 'ready':
        this.#state = becameReady(this.#state, id, now);
        if (!this.#state.ending) this.#log.info(`${this.#nameOf(id)} is ready`);
        break;
      case 'failed':
        this.#failures.set(id, report);
        break;
      case 'broken':
        this.#log.error(
          `${this.#nameOf(id)} met an error that the app did not catch; it finishes its requests`,
        );
        this.#state = broke(this.#state, id, now);
        this.#logDelay(this.#state.workers.find((worker) => worker.id === id)?.slot ?? 0);
        break;
      case 'asked-to-leave':
        this.#state = askedToLeave(this.#state, id);
        break;
    }
    this.#settle();
  }

  /** The first worker listens: whoever sees the socket from now on can use it. */
  async #publish(): Promise<void> {
    const { listener, log } = this.#options;
    try {
      if (!(await listener.publish())) return;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      log.fatal(error.message);
      this.#state = ending(this.#state, 'now', error.exitCode, performance.now());
      this.#settle();
      return;
    }
    const { address } = listener;
    const target =
      address.kind === 'unix'
        ? `--unix-socket ${address.path} http://localhost/`
        : `http://${formatAddress(address)}/`;
    log.info(`ready after ${Math.round(performance.now() - this.#startedAt)} ms; try: curl ${target}`);
  }

  #onExit(id: number, how: WorkerExit): void {
    const before = this.#state;
    const worker = before.workers.find((one) => one.id === id)!;
    const failure = this.#failures.get(id);
    const line = exitLine(before, worker, how, this.#options.config);
    if (line && failure) this.#log[line.level](errorFields(failure), failure.message);
    else if (line) this.#log[line.level](`${this.#nameOf(id)} ${line.text}`);
    this.#workers.delete(id);
    this.#failures.delete(id);
    const clean = 'code' in how && how.code === 0;
    this.#state = exited(before, id, performance.now(), failure?.exitCode ?? ExitCode.bootFailed, clean);
    if (!this.#state.ending && before.slots !== this.#state.slots) this.#logDelay(worker.slot);
    this.#settle();
  }

  /** Says that a slot waits before it is filled again: an app that dies young is not started all the time. */
  #logDelay(slot: number): void {
    const { failures = 0, retryAt = 0 } = this.#state.slots.get(slot) ?? {};
    const delay = retryAt - performance.now();
    if (delay <= 0) return;
    const often = failures > 1 ? ` ${failures} times in a row` : '';
    this.#log.warn(
      `worker ${slot} died young${often}; the next one starts in ${(delay / 1000).toFixed(1)} s`,
    );
  }

  #nameOf(id: number): string {
    const slot = this.#state.workers.find((worker) => worker.id === id)?.slot;
    return `worker ${slot} (pid ${this.#workers.get(id)?.pid ?? 'unknown'})`;
  }
}

function errorFields(failure: FailedReport): object {
  return failure.stack ? { err: Object.assign(new Error(failure.message), { stack: failure.stack }) } : {};
}
