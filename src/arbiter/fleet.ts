/**
 * All workers and the state that is known of them: turns what happens to workers into changes of the state, asks the
 * plan what follows, and does that. Knows processes and policy; what the operator asks for comes from `arbiter.ts`,
 * and what it takes for a generation to serve from `generations.ts`.
 */
import type { Config } from '../config/settings.ts';
import { ExitCode } from '../errors.ts';
import type { Happening } from '../events.ts';
import type { Logger } from '../log.ts';
import type { Order, Report } from '../protocol.ts';
import { type Autopsy, BOOT_AUTOPSY_LIMIT, examine } from './autopsy.ts';
import { Crew, type Setup } from './crew.ts';
import { type ExitLine, exitLine } from './exit-line.ts';
import { autopsyLine, delayLine, retireLine } from './lines.ts';
import type { Listener } from './listener.ts';
import { LogRotation } from './log-rotation.ts';
import { type Action, plan } from './plan.ts';
import type { ExitNote } from './report.ts';
import * as change from './state.ts';
import { current, type KillReason, newest, type State, type WorkerState } from './state.ts';
import type { WorkerExit, WorkerHandle } from './worker-handle.ts';

/** How long an autopsy may take, in milliseconds; then the worker is killed without. */
const AUTOPSY_LIMIT = 10_000;
/** So many worker exits are remembered. */
const EXITS_KEPT = 20;

/** What the plan leaves to others. None of these may settle the fleet at once. */
export interface FleetOwner {
  /** The newest generation is to serve. */
  publish(): void;
  /** The generation on trial is to be given up. */
  rollBack(why: string): void;
  /** The start has failed. */
  startFailed(reason: string, stack: string | undefined): void;
  /** Whether the sockets are those of a server before us, which goes on if we do not. */
  isGuest(): boolean;
  /** Called before the plan is asked. */
  settling(): void;
  /** Called when nothing is left to do for now. */
  settled(): void;
  /** All workers are gone, and everything is over. */
  exit(code: number): void;
  /** For whoever wants to know. */
  emit(happening: Happening): void;
}

/** Who wants to know about the code that workers run; only in development. */
export interface CodeObserver {
  /** A generation is to be made from this app and these settings; it may fail because of the files that they name. */
  equipped(app: string, config: Config): void;
  /**
   * A worker says over the channel what is not meant for the arbiter.
   *
   * @param startedAt when it was spawned; milliseconds of the wall clock.
   */
  heard(message: unknown, generation: number, startedAt: number): void;
  /** A worker could not boot; returns the stack as people are to see it. */
  failed(stack: string | undefined, generation: number): string | undefined;
}

type FailedReport = Extract<Report, { type: 'failed' }>;

/** The workers of all generations. */
export class Fleet {
  readonly #log: Logger;
  readonly #owner: FleetOwner;
  readonly #crew = new Crew();
  /** What each generation with workers is made from. */
  readonly #setups = new Map<number, Setup>();
  /** Why workers could not boot, until their exit is seen. */
  readonly #failures = new Map<number, FailedReport>();
  /** Why workers could not go on, until their exit is seen. */
  readonly #broken = new Map<number, string>();
  /** Those that were told to leave and take no request any more; only known with --watch. */
  readonly #silent = new Set<number>();
  readonly #rotation = new LogRotation();
  #onAlone: () => void = () => {};
  /** To be set before the first worker is started. */
  observer: CodeObserver | undefined;
  /** The last exits, newest first. */
  readonly exits: ExitNote[] = [];
  /** What the newest worker has taken the app for, in words. */
  shape = '';
  /** The app's stack, if that is why the generation on trial has failed. */
  trialStack: string | undefined;
  /** The listeners that our workers need not empty when they go, as another server accepts on them as well. */
  shared: readonly Listener[] | undefined;
  #state: State;
  /** Wakes us when the plan has something to do. */
  #timer: NodeJS.Timeout | undefined;

  constructor(state: State, setup: Setup, log: Logger, owner: FleetOwner) {
    this.#state = state;
    this.#setups.set(setup.number, setup);
    this.#log = log;
    this.#owner = owner;
  }

  get state(): State {
    return this.#state;
  }

  /** The level of what is as usual: in development it happens with each save. */
  get #chatter(): 'info' | 'debug' {
    return this.observer ? 'debug' : 'info';
  }

  /** What the generation that serves is made from. */
  get running(): Setup {
    return this.#setups.get(current(this.#state).number)!;
  }

  /** What the newest generation is made from. */
  get newest(): Setup {
    return this.#setups.get(newest(this.#state).number)!;
  }

  /** What all generations with workers are made from. */
  get setups(): Setup[] {
    return [...this.#setups.values()];
  }

  /** Every listener that any of them has. */
  get listeners(): Set<Listener> {
    return new Set(this.setups.flatMap(({ listeners }) => listeners));
  }

  /** Edits the state; what follows from that is done by the next `settle`. */
  change(edit: (state: State, now: number) => State): void {
    this.#state = edit(this.#state, performance.now());
  }

  /** Adds what the newest generation is made from. */
  equip(setup: Omit<Setup, 'number'>): Setup {
    const { number } = newest(this.#state);
    const complete = { number, ...setup };
    this.#setups.set(number, complete);
    this.trialStack = undefined;
    this.observer?.equipped(setup.app, setup.loaded.config);
    return complete;
  }

  /** Tells all workers the same. */
  tellAll(order: Order): void {
    this.#crew.tellAll(order);
  }

  /** Has all workers open their logs anew, and returns what stood in the way of one; undefined if nothing did. */
  reopenLogs(): Promise<string | undefined> {
    return this.#rotation.run(
      this.#crew.ids,
      (order) => this.tellAll(order),
      (id) => this.#nameOf(id),
    );
  }

  /** The process of a worker. */
  handleOf(id: number): WorkerHandle | undefined {
    return this.#crew.handle(id);
  }

  /** Tells a worker. */
  tell(id: number, order: Order): void {
    this.#crew.handle(id)?.tell(order);
  }

  /**
   * Resolves when only workers of the newest generation take requests, at the latest after so many milliseconds: one
   * that is stopped in a debugger cannot say so. For --watch.
   */
  async alone(limit: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#onAlone = resolve;
      timer = setTimeout(resolve, limit);
      this.#lookWhetherAlone();
    });
    clearTimeout(timer);
  }

  #lookWhetherAlone(): void {
    const { number } = newest(this.#state);
    const others = this.#state.workers.filter(
      ({ id, generation, phase }) => generation !== number && phase !== 'booting' && !this.#silent.has(id),
    );
    if (others.length === 0) this.#onAlone();
  }

  /** Does what the plan says until it says nothing more, and sees to it that it is asked again in time. */
  settle(): void {
    this.#owner.settling();
    for (;;) {
      const { actions, wakeAt } = plan(this.#state, performance.now());
      for (const action of actions) this.#do(action);
      if (actions.some((action) => action.type === 'exit')) return;
      if (actions.length > 0) continue;
      clearTimeout(this.#timer);
      if (wakeAt !== undefined) {
        this.#timer = setTimeout(() => this.settle(), Math.max(0, Math.ceil(wakeAt - performance.now())));
      }
      break;
    }
    this.#forgetGenerations();
    this.#lookWhetherAlone();
    this.#owner.settled();
  }

  /** Nobody waits for an autopsy who wants to end quickly. */
  cutAutopsies(): void {
    for (const { id, killed } of this.#state.workers) if (killed) this.#crew.kill(id);
  }

  /** Does nothing any more. */
  close(): void {
    clearTimeout(this.#timer);
  }

  #forgetGenerations(): void {
    const { generations, workers } = this.#state;
    const needed = new Set([
      ...generations.map(({ number }) => number),
      ...workers.map((one) => one.generation),
    ]);
    for (const number of this.#setups.keys()) if (!needed.has(number)) this.#setups.delete(number);
  }

  #do(action: Action): void {
    switch (action.type) {
      case 'spawn':
        this.#spawn(action.generation, action.slot);
        break;
      case 'retire': {
        const line = retireLine(action.why, current(this.#state).number);
        if (line) this.#log[this.#chatter](`${this.#nameOf(action.id)} ${line}`);
        this.change((state, now) => change.retired(state, action.id, action.farewell, now));
        this.#crew.dismiss(action.id, action.farewell, this.shared ?? this.running.listeners);
        break;
      }
      case 'publish':
        this.change(change.publishing);
        this.#owner.publish();
        break;
      case 'rollBack':
        this.#owner.rollBack(action.why);
        break;
      case 'kill':
        this.#kill(action.id, action.why);
        break;
      case 'exit':
        this.#owner.exit(action.code);
    }
  }

  #spawn(generation: number, slot: number): void {
    const id = this.#state.nextId;
    this.change((state, now) => change.spawned(state, generation, slot, now, Math.random()));
    const published = current(this.#state).published === 'yes';
    const contested = !published && !this.#owner.isGuest();
    const startedAt = Date.now();
    this.#crew.spawn(
      id,
      slot,
      this.#setups.get(generation)!,
      { serves: published && generation === current(this.#state).number, published, contested },
      {
        onReport: (report) => this.#onReport(id, report),
        onStray: (message) => this.observer?.heard(message, generation, startedAt),
        onExit: (how) => this.#onExit(id, how),
      },
    );
  }

  #kill(id: number, why: KillReason): void {
    this.change((state) => change.killed(state, id, why));
    if (why === 'stuck' || why === 'boot timeout') void this.#examineAndKill(id, why);
    else this.#crew.kill(id);
  }

  /** A worker that does not say any more what it does is asked by other means, before it is killed. */
  async #examineAndKill(id: number, why: 'stuck' | 'boot timeout'): Promise<void> {
    const name = this.#nameOf(id);
    const worker = this.#identityOf(id);
    const handle = this.#crew.handle(id);
    let autopsy: Autopsy | undefined;
    try {
      if (handle?.pid === undefined) return;
      autopsy = await examine(handle.pid, why === 'stuck' ? AUTOPSY_LIMIT : BOOT_AUTOPSY_LIMIT);
      const { fields, text } = autopsyLine(autopsy);
      this.#log.error(fields, `${name} ${text}`);
    } catch (error) {
      this.#log.error(`${name} is to be killed; what it does is not known: ${(error as Error).message}`);
    } finally {
      if (handle?.pid !== undefined && this.#crew.handle(id)) {
        this.#owner.emit({
          type: 'workerStuck',
          ...worker,
          pid: handle.pid,
          why: why === 'stuck' ? 'timeout' : why,
          stack: autopsy?.stack ?? null,
          inFlight: autopsy?.inFlight ?? [],
          rss: autopsy?.memory.rss ?? null,
        });
      }
      handle?.kill();
    }
  }

  #onReport(id: number, report: Report): void {
    switch (report.type) {
      case 'ready':
        this.shape = report.shape;
        this.#onReady(id);
        break;
      case 'beat':
        // That it is ready may have been lost, in what its app has written to the channel.
        if (this.#worker(id)?.phase === 'booting') this.#onReady(id);
        this.change((state, now) => change.beaten(state, id, report.beat, now));
        break;
      case 'failed':
        this.#failures.set(id, report);
        break;
      case 'broken':
        this.#log.error(`${this.#nameOf(id)} ${report.why}; it finishes its requests`);
        if (this.#worker(id)) this.#broken.set(id, report.why);
        this.#noteTrialStack(id, report.stack);
        this.change((state, now) => change.broke(state, id, now, `a worker ${report.why}`));
        this.#logDelay(this.#worker(id));
        break;
      case 'silent':
        this.#silent.add(id);
        break;
      case 'emptied':
        this.change(change.queuesEmptied);
        break;
      case 'reopened':
        this.#rotation.answered(id, report);
        break;
      case 'asked-to-leave':
        this.change((state) => change.askedToLeave(state, id));
        break;
    }
    this.settle();
  }

  #onReady(id: number): void {
    this.change((state, now) => change.becameReady(state, id, now));
    // Its exit may be known before its last words.
    const worker = this.#worker(id);
    if (!worker || this.#state.ending || worker.killed) return;
    const { phase, born } = worker;
    this.#log[this.#chatter](`${this.#nameOf(id)} is ready`);
    if (phase !== 'ready') return;
    const took = Math.round(performance.now() - born);
    this.#owner.emit({
      type: 'workerReady',
      ...this.#identityOf(id),
      pid: this.#crew.handle(id)!.pid!,
      took,
    });
  }

  #onExit(id: number, how: WorkerExit): void {
    const before = this.#state;
    const worker = this.#worker(id)!;
    const failure = this.#failures.get(id);
    const isBootFailure = worker.phase === 'booting' && !before.ending;
    const stack =
      isBootFailure && this.observer
        ? this.observer.failed(failure?.stack, worker.generation)
        : failure?.stack;
    const line = exitLine(before, worker, how);
    const name = this.#nameOf(id);
    if (line && failure) this.#log[line.level](errorFields(failure.message, stack), failure.message);
    else if (line) this.#log[line.level](`${name} ${line.text}`);
    this.#note(worker, how, line);
    this.#noteTrialStack(id, failure?.stack);
    this.#failures.delete(id);
    this.#broken.delete(id);
    this.#silent.delete(id);
    this.#crew.forget(id);
    this.#rotation.ended(id);
    const reason = failure?.message ?? `${name} ${line?.text ?? 'ended'}`;
    this.change((state, now) =>
      change.exited(state, id, now, {
        exitCode: failure?.exitCode ?? ExitCode.bootFailed,
        clean: 'code' in how && how.code === 0,
        hopeless: failure !== undefined || (worker.phase === 'booting' && !('signal' in how)),
        reason,
      }),
    );
    if (this.#state.ending && !before.ending) this.#owner.startFailed(reason, failure?.stack);
    if (!this.#state.ending && worker.phase !== 'retiring') this.#logDelay(worker);
    this.settle();
  }

  /** Keeps the first stack of a generation on trial for those who wait for it. */
  #noteTrialStack(id: number, stack: string | undefined): void {
    const { number, trial } = newest(this.#state);
    if (trial && this.#worker(id)?.generation === number) this.trialStack ??= stack;
  }

  /** Remembers an exit for those who ask for the status, and tells those who want to know at once. */
  #note({ id, killed }: WorkerState, how: WorkerExit, line: ExitLine | undefined): void {
    const trouble = this.#failures.get(id)?.message ?? line?.text ?? this.#broken.get(id);
    const reason = trouble ?? 'ended as it was told';
    const exit = { ...this.#identityOf(id), pid: this.#crew.handle(id)?.pid ?? null, reason };
    this.exits.unshift({ time: new Date().toISOString(), ...exit });
    this.exits.length = Math.min(this.exits.length, EXITS_KEPT);
    this.#owner.emit({
      type: 'workerExit',
      ...exit,
      code: 'code' in how ? how.code : null,
      signal: 'signal' in how ? how.signal : null,
      expected: trouble === undefined && killed !== 'boot timeout',
    });
  }

  /** Says that a slot waits before it is filled again: an app that dies young is not started all the time. */
  #logDelay(worker: WorkerState | undefined): void {
    const generation = this.#state.generations.find(({ number }) => number === worker?.generation);
    if (generation?.trial?.failed) return;
    const slot = worker && generation?.slots.get(worker.slot);
    const delay = (slot?.retryAt ?? 0) - performance.now();
    // With --watch it waits for a change, which is said elsewhere.
    if (slot && delay > 0 && Number.isFinite(delay))
      this.#log.warn(delayLine(worker.slot, slot.failures, delay));
  }

  #worker(id: number): WorkerState | undefined {
    return this.#state.workers.find((worker) => worker.id === id);
  }

  #identityOf(id: number): { worker: number; generation: number } {
    const { slot, generation } = this.#worker(id)!;
    return { worker: slot, generation };
  }

  #nameOf(id: number): string {
    return `worker ${this.#worker(id)?.slot} (pid ${this.#crew.handle(id)?.pid ?? 'unknown'})`;
  }
}

function errorFields(message: string, stack: string | undefined): object {
  return stack ? { err: Object.assign(new Error(message), { stack }) } : {};
}
