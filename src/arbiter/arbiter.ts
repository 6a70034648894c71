/**
 * The arbiter: takes the operator's wishes, from signals and from the control socket, keeps time, and says how things
 * are. Knows no HTTP and never accepts a connection. The workers are in `fleet.ts`, reload in `generations.ts`, upgrade
 * and takeover in `succession.ts`, and the whole policy in `state.ts` and `plan.ts`.
 */
import { formatAddress } from '../address.ts';
import { type Command, type Outcome, scaled, signals } from '../commands.ts';
import type { Loaded } from '../config/load.ts';
import { ExitCode } from '../errors.ts';
import type { Launch } from '../launch.ts';
import { checkLogs, createLogs, type OpenLog } from '../log.ts';
import { beatEvery } from '../protocol.ts';
import type { Status } from '../status.ts';
import type { ControlFace } from './control.ts';
import { setupOf } from './crew.ts';
import type { Development } from './development.ts';
import { Fleet } from './fleet.ts';
import { Generations, type GenerationsOptions, STOPPING } from './generations.ts';
import { Hooks } from './hooks.ts';
import { Inspection } from './inspection.ts';
import { limitsOf } from './limits.ts';
import { countOf } from './lines.ts';
import type { Listener } from './listener.ts';
import type { Office } from './office.ts';
import { healthOf, statusOf } from './report.ts';
import type { PathEvents } from './socket-path.ts';
import * as change from './state.ts';
import { current, type Ending, newest } from './state.ts';
import { Succession } from './succession.ts';
import { watchErrors } from './uncaught.ts';
import type { Invocation, Predecessor } from './upgrade.ts';

/** npm passes on the interrupt that its child has got from the terminal already: two this close are one, in ms. */
const SAME_INTERRUPT = 300;

/** What the arbiter is made from. */
export interface ArbiterOptions {
  version: string;
  loaded: Loaded & { app: string };
  /** What the first workers are started with. */
  launch: Launch;
  listeners: Listener[];
  pathEvents: PathEvents;
  office: Office;
  log: OpenLog;
  reconfigure: GenerationsOptions['reconfigure'];
  invocation: Invocation;
  predecessor: Predecessor | undefined;
  /** Every setting as text, for the status. */
  show(loaded: Loaded): Status['settings'];
  /** Whether one of our streams is a terminal, whose resizing sends SIGWINCH. */
  onTerminal: boolean;
  /** Called once we listen to signals; returns those to be heeded that came before, with what they ask for. */
  earlySignals(): readonly [signal: string, command: Command][];
}

/** Serves until it is told to stop. */
export class Arbiter {
  readonly #options: ArbiterOptions;
  readonly #log: OpenLog['logger'];
  readonly #startedAt = performance.now();
  readonly #hooks: Hooks;
  readonly #fleet: Fleet;
  readonly #generations: Generations;
  readonly #succession: Succession;
  readonly #inspection: Inspection | undefined;
  /** The clock by which silence is counted, and its period in milliseconds. */
  #tick: { every: number; timer: NodeJS.Timeout } | undefined;
  #title = '';
  #finish: (exitCode: number) => void = () => {};
  readonly #finished = new Promise<number>((resolve) => {
    this.#finish = resolve;
  });

  constructor(options: ArbiterOptions) {
    const { loaded, launch, listeners, office, predecessor, invocation, pathEvents, reconfigure } = options;
    const log = options.log.logger;
    this.#options = options;
    this.#log = log;
    const hooks = new Hooks(invocation, log);
    this.#hooks = hooks;
    const { workers, watch, inspect } = loaded.config;
    const state = change.initialState(workers, limitsOf(loaded.config), office.isContested, watch);
    const fleet = new Fleet(state, { number: 1, ...setupOf(loaded.app, loaded, launch), listeners }, log, {
      publish: () => void this.#generations.publish(),
      rollBack: (why) => this.#generations.rollBack(why),
      startFailed: (reason, stack) => predecessor?.failed(reason, stack),
      isGuest: () => office.isGuest,
      settling: () => this.#onSettling(),
      settled: () => this.#onSettled(),
      exit: (code) => this.#finish(code),
      emit: (happening) => hooks.emit(happening),
    });
    this.#fleet = fleet;
    this.#generations = new Generations({ fleet, office, hooks, log, pathEvents, predecessor, reconfigure });
    if (inspect) this.#inspection = new Inspection(fleet, inspect, log);
    this.#succession = new Succession({
      fleet,
      generations: this.#generations,
      office,
      log,
      invocation,
      end: (how, why) => this.#end(how, why),
    });
  }

  /** Runs until the server has ended, and resolves with the exit code. */
  async run(): Promise<number> {
    const { version, loaded, launch, listeners, office, earlySignals } = this.#options;
    const { app, config } = loaded;
    watchErrors(this.#options.log);
    await this.#hooks.use(loaded.hooks);
    for (const [signal, command] of Object.entries(signals)) {
      process.on(signal, () => this.#onSignal(signal, command));
    }
    const came = earlySignals();
    const addresses = listeners.map(({ address }) => formatAddress(address));
    const { workers } = config;
    const { pid } = process;
    this.#hooks.emit({ type: 'onStarting', pid, version, app, addresses, workers });
    const development = config.watch ? await this.#develop(app) : undefined;
    this.#fleet.settle();
    // Mostly the first lines, for which the logger is made: that takes a while, in which the workers can start already.
    this.#log.info(
      `fasticorn ${version}: ${app} on ${addresses.join(', ')}, ${countOf(workers)}, pid ${pid}`,
    );
    for (const note of launch.notes) this.#log.info(note);
    for (const [signal, command] of came) this.#onSignal(signal, command);
    await office.openControl(this.#face());
    const exitCode = await this.#finished;
    development?.close();
    this.#fleet.close();
    clearInterval(this.#tick?.timer);
    for (const listener of this.#fleet.listeners) {
      listener.withdraw();
      listener.close();
    }
    this.#hooks.emit({ type: 'onExit', exitCode });
    await office.leave();
    // Last, so that whoever comes after us finds all names free meanwhile.
    await this.#hooks.close();
    if (exitCode === ExitCode.ok) this.#log.info('stopped');
    return exitCode;
  }

  async #develop(app: string): Promise<Development> {
    const { Development } = await import('./development.ts');
    const { loaded } = this.#options;
    return new Development({
      app,
      config: loaded.config,
      fleet: this.#fleet,
      generations: this.#generations,
      log: this.#log,
    });
  }

  #onSignal(signal: string, command: Command): void {
    if (signal === 'SIGWINCH' && this.#options.onTerminal) return;
    this.#perform(command, signal).catch((error) => this.#log.error({ err: error }, `${signal} failed`));
  }

  #face(): ControlFace {
    return {
      status: () => this.#status(),
      health: () => healthOf(this.#fleet.state),
      perform: (command) => this.#perform(command, command.verb),
      yieldPath: () => this.#succession.yieldPath(),
      yieldDone: () => this.#succession.yieldDone(),
      yieldEnded: () => this.#succession.yieldEnded(),
    };
  }

  /** @param by who asks, for the log: a signal or the verb. */
  async #perform({ verb, argument }: Command, by: string): Promise<Outcome> {
    if (verb === 'stop') return this.#stop(argument === 'now', by);
    if (this.#fleet.state.ending) return this.#refused(by, STOPPING);
    switch (verb) {
      case 'reload': {
        const { obstacle } = this.#succession;
        return obstacle ? this.#refused(by, obstacle) : this.#generations.reload(by);
      }
      case 'upgrade':
        return this.#succession.upgrade(by);
      case 'scale':
        return this.#scale(argument ?? '', by);
      case 'pause':
        return this.#pause(true, by);
      case 'resume':
        return this.#pause(false, by);
      case 'reopen':
        return this.#reopen(by);
    }
  }

  #stop(now: boolean, by: string): Promise<Outcome> {
    const { ending } = this.#fleet.state;
    // Where others accept from the same sockets, their queues are not ours to empty.
    const gently = this.#fleet.shared || this.#options.office.isGuest ? 'handover' : 'graceful';
    if (!now) this.#end(gently, `${by}: stopping once every request has its answer`);
    else if (ending?.how !== 'quick')
      this.#end('quick', `${by}: stopping; requests in flight have one second`);
    else if (performance.now() - ending.since >= SAME_INTERRUPT)
      this.#end('now', `${by} again: ending at once`);
    return this.#finished.then(() => ({ ok: true, message: 'the server has stopped' }));
  }

  #end(how: Ending['how'], why: string): void {
    const before = this.#fleet.state;
    if (how === 'now') this.#hooks.kill();
    this.#fleet.change((state, now) => change.ending(state, how, ExitCode.ok, now));
    if (this.#fleet.state === before) return;
    this.#log.info(why);
    const quickly = how === 'quick' || how === 'now';
    if (quickly) this.#fleet.cutAutopsies();
    this.#succession.abort(quickly);
    this.#fleet.settle();
  }

  #scale(argument: string, by: string): Outcome {
    const { wanted: before } = newest(this.#fleet.state);
    this.#fleet.change((state) => change.scaled(state, (wanted) => scaled(wanted, argument)));
    const { wanted } = newest(this.#fleet.state);
    // Fewer workers are no reason to end a pause, also where there are to be no fewer.
    const resumes = this.#fleet.state.paused && wanted >= before && !argument.startsWith('-');
    if (resumes) this.#fleet.change((state) => change.pausedOrNot(state, false));
    return this.#done(by, `${countOf(wanted)} wanted, instead of ${before}${resumes ? '; resumed' : ''}`);
  }

  #pause(paused: boolean, by: string): Outcome {
    if (paused === this.#fleet.state.paused)
      return { ok: true, message: paused ? 'already paused' : 'not paused' };
    if (current(this.#fleet.state).published !== 'yes')
      return this.#refused(by, {
        ok: false,
        message: 'the server is still starting, and cannot be paused',
      });
    this.#fleet.change((state) =>
      change.pausedOrNot(paused ? change.trialFailed(state, 'paused') : state, paused),
    );
    return this.#done(by, paused ? 'paused: requests queue until resume' : 'resumed');
  }

  async #reopen(by: string): Promise<Outcome> {
    // The workers may have no right to create them.
    for (const { loaded, credentials } of this.#fleet.setups)
      if (credentials) createLogs(loaded.config, credentials);
    const own = this.#options.log.reopen();
    const hasWorkers = this.#fleet.state.workers.length > 0;
    const theirs = hasWorkers ? await this.#fleet.reopenLogs() : this.#logObstacle();
    const obstacle = own ?? theirs;
    if (obstacle === undefined) return this.#done(by, 'the log files are opened anew');
    return this.#refused(by, { ok: false, message: obstacle });
  }

  /** What would keep a worker from opening its logs, for while there is none who could tell. */
  #logObstacle(): string | undefined {
    const { loaded, credentials } = this.#fleet.running;
    try {
      checkLogs(loaded.config, credentials !== undefined);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }

  /** Who has sent a signal gets no other answer than the log. */
  #refused(by: string, outcome: Outcome): Outcome {
    this.#log.warn(`${by}: ${outcome.message}`);
    return outcome;
  }

  #done(by: string, message: string): Outcome {
    this.#log.info(`${by}: ${message}`);
    this.#fleet.settle();
    return { ok: true, message };
  }

  /** Once we are to end nobody new may come: the workers empty the queue, and they can only do so if it ends. */
  #onSettling(): void {
    const { ending, emptied } = this.#fleet.state;
    if (!ending) return;
    this.#generations.stop();
    for (const listener of this.#fleet.listeners) {
      listener.withdraw();
      // A port would let others connect to it, and nobody would answer. Before that a worker may still have to be started.
      if (ending.how !== 'graceful' || emptied) listener.close();
    }
  }

  #onSettled(): void {
    this.#inspection?.assign();
    this.#keepTime();
    const { running, state } = this.#fleet;
    const { config } = running.loaded;
    this.#options.log.follow(config);
    const name = config.procName ?? running.app;
    const title = `fasticorn: arbiter [${name}] ${countOf(current(state).wanted)}`;
    if (this.#title !== title) process.title = this.#title = title;
  }

  /** Ticks as often as the most impatient generation needs, so that no tick alone makes a worker look stuck. */
  #keepTime(): void {
    const timeouts = this.#fleet.setups.map(({ loaded }) => beatEvery(loaded.config.timeout));
    const every = Math.min(...timeouts) * 1000;
    if (this.#tick?.every === every) return;
    clearInterval(this.#tick?.timer);
    this.#tick = { every, timer: setInterval(() => this.#onTick(every), every) };
  }

  #onTick(elapsed: number): void {
    for (const listener of this.#fleet.running.listeners) listener.check();
    this.#options.office.check();
    this.#fleet.change((state) => change.ticked(state, elapsed));
    this.#fleet.settle();
  }

  #status(): Promise<Status> {
    const { version, show } = this.#options;
    const { state, running, exits } = this.#fleet;
    return statusOf({
      state,
      setup: running,
      exits,
      version,
      startedAt: this.#startedAt,
      settings: show(running.loaded),
      handleOf: (id) => this.#fleet.handleOf(id),
      isUpgrading: this.#succession.isUpgrading,
    });
  }
}
