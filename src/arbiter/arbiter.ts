/**
 * The arbiter: carries out what the plan says for the workers, and what the operator asks for. Every event (a signal,
 * a report, an exit, a tick of the clock) only edits the state; then `settle` does what follows from it. Knows no
 * HTTP and never accepts a connection.
 */
import { formatAddress } from '../address.ts';
import { type Command, type Outcome, scaled, signals } from '../commands.ts';
import type { Loaded } from '../config/load.ts';
import { ExitCode, UserError } from '../errors.ts';
import type { OpenLog } from '../log.ts';
import { beatEvery, type Report } from '../protocol.ts';
import type { Health, Status } from '../status.ts';
import { examine } from './autopsy.ts';
import type { ControlFace } from './control.ts';
import { Crew, type Setup } from './crew.ts';
import { type ExitLine, exitLine } from './exit-line.ts';
import { limitsOf } from './limits.ts';
import { autopsyLine, countOf, publishedLine, retireLine } from './lines.ts';
import { type Listener, openListeners } from './listener.ts';
import type { Office } from './office.ts';
import { type Action, plan } from './plan.ts';
import { type ExitNote, healthOf, statusOf } from './report.ts';
import type { PathEvents } from './socket-path.ts';
import * as change from './state.ts';
import { current, type Ending, type KillReason, newest, type State } from './state.ts';
import { type Invocation, type Predecessor, Successor } from './upgrade.ts';
import type { WorkerExit } from './worker-handle.ts';

/** npm passes on the interrupt that its child has got from the terminal already: two this close are one, in ms. */
const SAME_INTERRUPT = 300;
/** How long an autopsy may take, in milliseconds; then the worker is killed without. */
const AUTOPSY_LIMIT = 3_000;
/** Why nothing new is begun while another server asks for our path. */
const YIELDING = 'another server is about to take over';
/** So many worker exits are remembered for `GET /status`. */
const EXITS_KEPT = 20;

/** What the arbiter is made from. */
export interface ArbiterOptions {
  version: string;
  loaded: Loaded & { app: string };
  listeners: Listener[];
  pathEvents: PathEvents;
  office: Office;
  log: OpenLog;
  /** Reads the configuration again; what only a restart can change is as it was, and said in `notes`. */
  reconfigure(running: Loaded, signal: AbortSignal): Promise<{ loaded: Loaded; notes: string[] }>;
  invocation: Invocation;
  predecessor: Predecessor | undefined;
  /** Every setting as text, for the status. */
  show(loaded: Loaded): Status['settings'];
  /** Whether one of our streams is a terminal, whose resizing sends SIGWINCH. */
  onTerminal: boolean;
}

type FailedReport = Extract<Report, { type: 'failed' }>;

/** Serves until it is told to stop. */
export class Arbiter {
  readonly #options: ArbiterOptions;
  readonly #log: OpenLog['logger'];
  readonly #office: Office;
  readonly #startedAt = performance.now();
  readonly #crew = new Crew();
  /** What each generation with workers is made from. */
  readonly #setups = new Map<number, Setup>();
  /** Why workers could not boot, until their exit is seen. */
  readonly #failures = new Map<number, FailedReport>();
  /** The last exits, newest first. */
  readonly #exits: ExitNote[] = [];
  #state: State;
  /** Wakes us when the plan has something to do. */
  #timer: NodeJS.Timeout | undefined;
  /** The clock by which silence is counted, and its period in milliseconds. */
  #tick: { every: number; timer: NodeJS.Timeout } | undefined;
  /** Stack of the app, if that is why the generation on trial has failed. */
  #trialStack: string | undefined;
  #trialEnded: (outcome: Outcome) => void = () => {};
  #reloading: Promise<Outcome> | undefined;
  #reloadAgain: Promise<Outcome> | undefined;
  #upgrading: Promise<Outcome> | undefined;
  #successor: Successor | undefined;
  /** The listeners that our workers need not empty when they go: others accept on them. */
  #shared: readonly Listener[] | undefined;
  #yielding: 'no' | 'asked' | 'done' = 'no';
  /** Resolves when the first generation serves. */
  readonly #inOffice: Promise<void>;
  #enterOffice: () => void = () => {};
  #finish: (exitCode: number) => void = () => {};
  /** Aborted when the server is to end: nobody waits for a config file then. */
  readonly #ending = new AbortController();
  #title = '';
  readonly #finished: Promise<number>;

  constructor(options: ArbiterOptions) {
    this.#options = options;
    this.#log = options.log.logger;
    this.#office = options.office;
    const { app, config } = options.loaded;
    this.#state = change.initialState(config.workers, limitsOf(config), this.#office.isContested);
    this.#setups.set(1, { number: 1, app, loaded: options.loaded, listeners: options.listeners });
    this.#inOffice = new Promise((resolve) => {
      this.#enterOffice = resolve;
    });
    this.#finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** Runs until the server has ended, and resolves with the exit code. */
  async run(): Promise<number> {
    const { version, loaded, listeners } = this.#options;
    for (const [signal, command] of Object.entries(signals)) {
      process.on(signal, () => this.#onSignal(signal, command));
    }
    const where = listeners.map(({ address }) => formatAddress(address)).join(', ');
    this.#log.info(
      `fasticorn ${version}: ${loaded.app} on ${where}, ${countOf(loaded.config.workers)}, pid ${process.pid}`,
    );
    this.#settle();
    await this.#office.openControl(this.#face());
    const exitCode = await this.#finished;
    clearInterval(this.#tick?.timer);
    clearTimeout(this.#timer);
    for (const listener of this.#listeners()) {
      listener.withdraw();
      listener.close();
    }
    await this.#office.leave();
    if (exitCode === ExitCode.ok) this.#log.info('stopped');
    return exitCode;
  }

  get #running(): Setup {
    return this.#setups.get(current(this.#state).number)!;
  }

  /** Every listener that any generation with workers has. */
  #listeners(): Set<Listener> {
    return new Set([...this.#setups.values()].flatMap(({ listeners }) => listeners));
  }

  // What the operator asks for.

  #onSignal(signal: string, command: Command): void {
    if (signal === 'SIGWINCH' && this.#options.onTerminal) return;
    this.#perform(command, signal).catch((error) => this.#log.error({ err: error }, `${signal} failed`));
  }

  #face(): ControlFace {
    return {
      status: () => this.#status(),
      health: () => this.#health(),
      perform: (command) => this.#perform(command, command.verb),
      yieldPath: () => this.#yieldPath(),
      yieldDone: () => this.#yieldDone(),
      yieldEnded: () => this.#yieldEnded(),
    };
  }

  /** @param by who asks, for the log: a signal or the verb. */
  async #perform({ verb, argument }: Command, by: string): Promise<Outcome> {
    if (this.#state.ending && verb !== 'stop') return { ok: false, message: 'the server is stopping' };
    switch (verb) {
      case 'reload':
        return this.#reload(by);
      case 'upgrade':
        return this.#upgrade(by);
      case 'scale':
        return this.#scale(scaled(newest(this.#state).wanted, argument ?? ''), by);
      case 'pause':
        return this.#pause(true, by);
      case 'resume':
        return this.#pause(false, by);
      case 'reopen':
        return this.#reopen(by);
      case 'stop':
        return this.#stop(argument === 'now', by);
    }
  }

  #stop(now: boolean, by: string): Promise<Outcome> {
    // Where others accept from the same sockets, their queues are not ours to empty.
    const graceful = this.#shared || this.#office.isGuest ? 'handover' : 'graceful';
    if (!now) this.#end(graceful, ExitCode.ok, `${by}: stopping once every request has its answer`);
    else if (this.#state.ending?.how !== 'quick')
      this.#end('quick', ExitCode.ok, `${by}: stopping; requests in flight have one second`);
    else if (performance.now() - this.#state.ending.since >= SAME_INTERRUPT)
      this.#end('now', ExitCode.ok, `${by} again: ending at once`);
    return this.#finished.then(() => ({ ok: true, message: 'the server has stopped' }));
  }

  #scale(wanted: number, by: string): Outcome {
    const before = newest(this.#state).wanted;
    this.#state = change.scaledTo(this.#state, wanted);
    // Fewer workers are no reason to end a pause.
    if (this.#state.paused && wanted >= before) this.#state = change.pausedOrNot(this.#state, false);
    const message = `${countOf(wanted)} wanted, instead of ${before}`;
    this.#log.info(`${by}: ${message}`);
    this.#settle();
    return { ok: true, message };
  }

  #pause(paused: boolean, by: string): Outcome {
    if (paused === this.#state.paused) return { ok: true, message: paused ? 'already paused' : 'not paused' };
    if (paused) this.#state = change.trialFailed(this.#state, 'paused');
    this.#state = change.pausedOrNot(this.#state, paused);
    const message = paused ? 'paused: requests queue until resume' : 'resumed';
    this.#log.info(`${by}: ${message}`);
    this.#settle();
    return { ok: true, message };
  }

  #reopen(by: string): Outcome {
    this.#options.log.reopen();
    this.#crew.tellAll({ type: 'reopen' });
    const message = 'the log files are opened anew';
    this.#log.info(`${by}: ${message}`);
    return { ok: true, message };
  }

  // Reload: a new generation on trial beside the one that serves.

  /** A reload that is asked for during one begins when that has ended: it may be meant for newer code. */
  #reload(by: string): Promise<Outcome> {
    if (this.#upgrading) return Promise.resolve({ ok: false, message: 'an upgrade is under way' });
    if (this.#yielding !== 'no') return Promise.resolve({ ok: false, message: YIELDING });
    if (this.#reloading) {
      this.#reloadAgain ??= this.#reloading.then(() => {
        this.#reloadAgain = undefined;
        return this.#perform({ verb: 'reload' }, by);
      });
      return this.#reloadAgain;
    }
    this.#log.info(`${by}: reloading`);
    this.#reloading = this.#tryGeneration()
      .catch((error: unknown): Outcome => {
        if (!(error instanceof UserError)) throw error;
        return { ok: false, message: error.message };
      })
      .then((outcome) => {
        if (outcome.ok) this.#log.info(outcome.message);
        else if (this.#state.ending) return { ok: false, message: 'the server is stopping' };
        else this.#log.error(`reload failed, everything is as it was: ${outcome.message}`);
        return outcome;
      })
      .finally(() => {
        this.#reloading = undefined;
      });
    return this.#reloading;
  }

  /** @throws UserError if the configuration is wrong, or an address cannot be had. */
  async #tryGeneration(): Promise<Outcome> {
    // At the start nothing serves yet that could go on.
    await Promise.race([this.#inOffice, this.#finished]);
    const began = performance.now();
    const { loaded, notes } = await this.#options.reconfigure(this.#running.loaded, this.#ending.signal);
    const { app, config } = loaded;
    if (app === undefined) throw new UserError('no app was given');
    const { pathEvents } = this.#options;
    const listeners = await openListeners(config, pathEvents, this.#running.listeners);
    if (this.#state.ending) {
      this.#close(listeners);
      return { ok: false, message: 'the server is stopping' };
    }
    for (const note of notes) this.#log.warn(note);
    this.#trialStack = undefined;
    this.#state = change.reloading(this.#state, config.workers, limitsOf(config));
    const { number } = newest(this.#state);
    this.#setups.set(number, { number, app, loaded, listeners });
    const ended = new Promise<Outcome>((resolve) => {
      this.#trialEnded = resolve;
    });
    this.#settle();
    const outcome = await ended;
    if (!outcome.ok) return { ...outcome, stack: this.#trialStack };
    const took = Math.round(performance.now() - began);
    return {
      ok: true,
      message: `generation ${number} serves with ${countOf(config.workers)}, after ${took} ms`,
    };
  }

  #rollBack(why: string): void {
    if (this.#state.generations.length === 1) {
      this.#log.fatal(why);
      this.#options.predecessor?.failed(why, this.#trialStack);
      // Others serve from the same sockets, and workers of ours may have taken requests from them already.
      this.#state = change.ending(this.#state, 'handover', ExitCode.bootFailed, performance.now());
      return;
    }
    const { listeners } = this.#setups.get(newest(this.#state).number)!;
    this.#state = change.rolledBack(this.#state);
    this.#close(listeners);
    this.#trialEnded({ ok: false, message: why });
  }

  /** Gives up those of the listeners that the generation that serves does not want. Their names go first. */
  #close(listeners: readonly Listener[]): void {
    for (const listener of listeners) {
      if (this.#running.listeners.includes(listener)) continue;
      listener.withdraw();
      listener.close();
    }
  }

  /** The newest generation is to serve. */
  async #publish(): Promise<void> {
    const { number, listeners } = this.#setups.get(newest(this.#state).number)!;
    const before = this.#running;
    try {
      if (number === 1) {
        if (!(await this.#office.assume(listeners))) return;
      } else {
        for (const listener of listeners) if (!(await listener.publish())) return;
      }
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.#onPublishFailed(error);
      return;
    }
    if (newest(this.#state).number !== number) return;
    this.#state = change.published(this.#state);
    this.#enterOffice();
    this.#crew.tellAll({ type: 'published' });
    if (number === 1) this.#log.info(publishedLine(listeners, performance.now() - this.#startedAt));
    else {
      // Before the old workers are told: they empty the queues of sockets that nobody can reach any more.
      this.#close(before.listeners);
      this.#trialEnded({ ok: true, message: '' });
    }
    this.#settle();
  }

  #onPublishFailed(error: UserError): void {
    if (newest(this.#state).number > 1) {
      this.#state = change.trialFailed(this.#state, error.message);
    } else {
      this.#log.fatal(error.message);
      this.#options.predecessor?.failed(error.message);
      // Workers of ours may have taken requests: from the sockets of a predecessor, which goes on with them, or from
      // our own in the place of another server's.
      const how = this.#options.predecessor ? 'handover' : this.#office.isContested ? 'graceful' : 'now';
      this.#state = change.ending(this.#state, how, error.exitCode, performance.now());
    }
    this.#settle();
  }

  // Upgrade: another arbiter takes our sockets over.

  #upgrade(by: string): Promise<Outcome> {
    const { tiedToUs } = this.#options.invocation;
    if (tiedToUs !== undefined) {
      const message = `cannot upgrade: ${tiedToUs}`;
      this.#log.error(`${by}: ${message}`);
      return Promise.resolve({ ok: false, message });
    }
    this.#upgrading ??= this.#replaceArbiter(by).finally(() => {
      this.#upgrading = undefined;
    });
    return this.#upgrading;
  }

  async #replaceArbiter(by: string): Promise<Outcome> {
    await Promise.race([this.#inOffice, this.#finished]);
    await this.#reloading;
    const { config } = this.#running.loaded;
    if (this.#state.ending) return { ok: false, message: 'the server is stopping' };
    if (this.#yielding !== 'no') return { ok: false, message: YIELDING };
    const { listeners } = this.#running;
    this.#log.info(`${by}: starting a new arbiter`);
    let outcome: Outcome;
    try {
      const node = config.node ?? process.execPath;
      this.#successor = new Successor(node, this.#options.invocation, listeners, (keeps) => {
        if (this.#state.ending) return false;
        // Not guarded any more, so that from now on the names are changed by one of us only.
        this.#shared = listeners.filter(({ key }) => keeps.includes(key));
        for (const listener of this.#shared) listener.release();
        return true;
      });
      outcome = await this.#successor.outcome();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      outcome = { ok: false, message: error.message };
    }
    const pid = this.#successor?.pid;
    this.#successor = undefined;
    if (outcome.ok) {
      this.#end('handover', ExitCode.ok, `the new arbiter (pid ${pid}) serves: finishing requests`);
      return outcome;
    }
    this.#shared = undefined;
    if (this.#state.ending) return outcome;
    this.#log.error(`upgrade failed, everything is as it was: ${outcome.message}`);
    if (current(this.#state).published === 'yes')
      await this.#office.resume(listeners).catch((error: Error) => this.#log.error(error.message));
    return outcome;
  }

  // Takeover: a server that was started elsewhere takes the place of our sockets.

  #yieldPath(): Outcome {
    const { published } = current(this.#state);
    const isBusy = this.#state.ending || this.#upgrading || this.#reloading || published !== 'yes';
    if (isBusy || this.#yielding !== 'no')
      return { ok: false, message: 'it is busy with a stop, a reload, an upgrade or another takeover' };
    this.#log.info('another server asks to take over');
    this.#yielding = 'asked';
    for (const listener of this.#running.listeners) listener.release();
    return { ok: true, message: 'the path is yours' };
  }

  #yieldDone(): Outcome {
    if (this.#yielding !== 'asked') return { ok: false, message: 'nobody has asked for the path' };
    this.#yielding = 'done';
    return { ok: true, message: 'finishing requests, then ending' };
  }

  /** The newcomer has taken our place, or it has died or given up: then the path is ours again. */
  #yieldEnded(): void {
    const replaced = this.#yielding === 'done';
    this.#yielding = 'no';
    if (replaced) {
      this.#end(
        'graceful',
        ExitCode.ok,
        'another server has taken over: stopping once every request has its answer',
      );
      return;
    }
    if (this.#state.ending) return;
    this.#log.warn('the server that asked to take over went away; going on');
    for (const listener of this.#running.listeners) listener.reclaim();
  }

  // What happens.

  #onTick(elapsed: number): void {
    for (const listener of this.#running.listeners) listener.check();
    this.#office.check();
    this.#state = change.ticked(this.#state, elapsed);
    this.#settle();
  }

  #end(how: Ending['how'], exitCode: number, why: string): void {
    const before = this.#state;
    this.#state = change.ending(before, how, exitCode, performance.now());
    if (this.#state === before) return;
    this.#log.info(why);
    if (how === 'quick' || how === 'now') this.#cutAutopsies();
    // Once it may take over it is on its own, and the names are its.
    if (this.#shared) for (const listener of this.#shared) listener.handOver();
    else this.#successor?.abort(how === 'quick' || how === 'now' ? 'SIGINT' : 'SIGTERM');
    this.#settle();
  }

  /** Does what the plan says until it says nothing more, and sees to it that it is asked again in time. */
  #settle(): void {
    // Once we are to end nobody new may come: the workers empty the queue, and they can only do so if it ends.
    if (this.#state.ending) {
      this.#ending.abort();
      for (const listener of this.#listeners()) listener.withdraw();
    }
    for (;;) {
      const { actions, wakeAt } = plan(this.#state, performance.now());
      for (const action of actions) this.#do(action);
      if (actions.some((action) => action.type === 'exit')) return;
      if (actions.length > 0) continue;
      clearTimeout(this.#timer);
      if (wakeAt !== undefined) {
        this.#timer = setTimeout(() => this.#settle(), Math.max(0, Math.ceil(wakeAt - performance.now())));
      }
      break;
    }
    this.#forgetGenerations();
    this.#keepTime();
    this.#showTitle();
  }

  /** Ticks as often as the most impatient generation needs, so that no tick alone makes a worker look stuck. */
  #keepTime(): void {
    const timeouts = [...this.#setups.values()].map(({ loaded }) => beatEvery(loaded.config.timeout));
    const every = Math.min(...timeouts) * 1000;
    if (this.#tick?.every === every) return;
    clearInterval(this.#tick?.timer);
    this.#tick = { every, timer: setInterval(() => this.#onTick(every), every) };
  }

  /** What `ps` shows. */
  #showTitle(): void {
    const title = `fasticorn: arbiter [${this.#running.app}] ${countOf(current(this.#state).wanted)}`;
    if (this.#title !== title) process.title = this.#title = title;
  }

  #forgetGenerations(): void {
    const { generations, workers } = this.#state;
    for (const number of this.#setups.keys()) {
      if ([...generations.map((one) => one.number), ...workers.map((one) => one.generation)].includes(number))
        continue;
      this.#setups.delete(number);
    }
  }

  #do(action: Action): void {
    const now = performance.now();
    switch (action.type) {
      case 'spawn':
        this.#spawn(action.generation, action.slot);
        break;
      case 'retire': {
        const line = retireLine(action.why, current(this.#state).number);
        if (line) this.#log.info(`${this.#nameOf(action.id)} ${line}`);
        this.#state = change.retired(this.#state, action.id, action.farewell, now);
        this.#crew.dismiss(action.id, action.farewell, this.#shared ?? this.#running.listeners);
        break;
      }
      case 'publish':
        this.#state = change.publishing(this.#state);
        void this.#publish();
        break;
      case 'rollBack':
        this.#rollBack(action.why);
        break;
      case 'kill':
        this.#kill(action.id, action.why);
        break;
      case 'exit':
        this.#trialEnded({ ok: false, message: 'the server is stopping' });
        this.#finish(action.code);
    }
  }

  #spawn(generation: number, slot: number): void {
    const id = this.#state.nextId;
    this.#state = change.spawned(this.#state, generation, slot, performance.now(), Math.random());
    const isPublished = current(this.#state).published === 'yes';
    this.#crew.spawn(id, slot, this.#setups.get(generation)!, isPublished, {
      onReport: (report) => this.#onReport(id, report),
      onExit: (how) => this.#onExit(id, how),
    });
  }

  #kill(id: number, why: KillReason): void {
    this.#state = change.killed(this.#state, id, why);
    if (why === 'stuck' || why === 'boot timeout') void this.#examineAndKill(id);
    else this.#crew.kill(id);
  }

  /** A worker that does not say any more what it does is asked by other means, before it is killed. */
  async #examineAndKill(id: number): Promise<void> {
    const name = this.#nameOf(id);
    const handle = this.#crew.handle(id);
    try {
      if (handle?.pid === undefined) return;
      const { fields, text } = autopsyLine(await examine(handle.pid, AUTOPSY_LIMIT));
      this.#log.error(fields, `${name} ${text}`);
    } catch (error) {
      this.#log.error(`${name} is to be killed; what it does is not known: ${(error as Error).message}`);
    } finally {
      handle?.kill();
    }
  }

  /** Nobody waits for an autopsy who wants to end quickly. */
  #cutAutopsies(): void {
    for (const { id, killed } of this.#state.workers) if (killed) this.#crew.kill(id);
  }

  #onReport(id: number, report: Report): void {
    const now = performance.now();
    switch (report.type) {
      case 'ready':
        this.#state = change.becameReady(this.#state, id, now);
        if (!this.#state.ending && !this.#isKilled(id)) this.#log.info(`${this.#nameOf(id)} is ready`);
        break;
      case 'beat':
        this.#state = change.beaten(this.#state, id, report.beat, now);
        break;
      case 'failed':
        this.#failures.set(id, report);
        break;
      case 'broken':
        this.#log.error(
          `${this.#nameOf(id)} met an error that the app did not catch; it finishes its requests`,
        );
        this.#noteTrialStack(id, report.stack);
        this.#state = change.broke(this.#state, id, now);
        this.#logDelay(id);
        break;
      case 'asked-to-leave':
        this.#state = change.askedToLeave(this.#state, id);
        break;
    }
    this.#settle();
  }

  #onExit(id: number, how: WorkerExit): void {
    const before = this.#state;
    const worker = before.workers.find((one) => one.id === id)!;
    const failure = this.#failures.get(id);
    const line = exitLine(before, worker, how);
    const name = this.#nameOf(id);
    if (line && failure) this.#log[line.level](errorFields(failure), failure.message);
    else if (line) this.#log[line.level](`${name} ${line.text}`);
    this.#note(id, line, failure);
    this.#failures.delete(id);
    const reason = failure?.message ?? `${name} ${line?.text ?? 'ended'}`;
    this.#noteTrialStack(id, failure?.stack);
    this.#state = change.exited(before, id, performance.now(), {
      exitCode: failure?.exitCode ?? ExitCode.bootFailed,
      clean: 'code' in how && how.code === 0,
      hopeless: failure !== undefined || (worker.phase === 'booting' && !('signal' in how)),
      reason,
    });
    if (this.#state.ending && !before.ending) this.#options.predecessor?.failed(reason, failure?.stack);
    if (!this.#state.ending && worker.phase !== 'retiring') this.#logDelay(id, worker);
    this.#crew.forget(id);
    this.#settle();
  }

  /** Keeps the first stack of a generation on trial for those who wait for it. */
  #noteTrialStack(id: number, stack: string | undefined): void {
    const { number, trial } = newest(this.#state);
    if (trial && this.#state.workers.some((one) => one.id === id && one.generation === number))
      this.#trialStack ??= stack;
  }

  /** Remembers an exit for those who ask for the status. */
  #note(id: number, line: ExitLine | undefined, failure: FailedReport | undefined): void {
    const { slot, generation } = this.#state.workers.find((one) => one.id === id)!;
    const pid = this.#crew.handle(id)?.pid ?? null;
    const reason = failure?.message ?? line?.text ?? 'ended as it was told';
    this.#exits.unshift({ time: new Date().toISOString(), worker: slot, generation, pid, reason });
    this.#exits.length = Math.min(this.#exits.length, EXITS_KEPT);
  }

  /** Says that a slot waits before it is filled again: an app that dies young is not started all the time. */
  #logDelay(id: number, worker = this.#state.workers.find((one) => one.id === id)): void {
    const generation = this.#state.generations.find(({ number }) => number === worker?.generation);
    const { failures = 0, retryAt = 0 } = generation?.slots.get(worker?.slot ?? 0) ?? {};
    const delay = retryAt - performance.now();
    if (!worker || delay <= 0) return;
    const often = failures > 1 ? ` ${failures} times in a row` : '';
    this.#log.warn(
      `worker ${worker.slot} died young${often}; the next one starts in ${(delay / 1000).toFixed(1)} s`,
    );
  }

  #isKilled(id: number): boolean {
    return this.#state.workers.some((worker) => worker.id === id && worker.killed);
  }

  #nameOf(id: number): string {
    const slot = this.#state.workers.find((worker) => worker.id === id)?.slot;
    return `worker ${slot} (pid ${this.#crew.handle(id)?.pid ?? 'unknown'})`;
  }

  // What others want to know.

  #health(): Health {
    return healthOf(this.#state);
  }

  #status(): Promise<Status> {
    return statusOf({
      state: this.#state,
      setup: this.#running,
      settings: this.#options.show(this.#running.loaded),
      handleOf: (id) => this.#crew.handle(id),
      exits: this.#exits,
      version: this.#options.version,
      startedAt: this.#startedAt,
      isUpgrading: this.#upgrading !== undefined,
    });
  }
}

function errorFields(failure: FailedReport): object {
  return failure.stack ? { err: Object.assign(new Error(failure.message), { stack: failure.stack }) } : {};
}
