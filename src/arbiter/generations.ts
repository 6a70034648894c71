/**
 * How a generation comes to serve: at the start, and at a reload, when it takes the place of the one before. Knows the
 * order of sockets, names and settings in that; which workers are spawned and retired meanwhile is the plan's business.
 */
import { formatAddress } from '../address.ts';
import type { Outcome } from '../commands.ts';
import type { Loaded } from '../config/load.ts';
import type { Config } from '../config/settings.ts';
import { ExitCode, UserError } from '../errors.ts';
import type { Launch } from '../launch.ts';
import type { Logger } from '../log.ts';
import { setupOf } from './crew.ts';
import type { Fleet } from './fleet.ts';
import type { Hooks } from './hooks.ts';
import { limitsOf } from './limits.ts';
import { countOf, publishedLine } from './lines.ts';
import { type Listener, openListeners } from './listener.ts';
import type { Office } from './office.ts';
import type { PathEvents } from './socket-path.ts';
import * as change from './state.ts';
import { current, newest } from './state.ts';
import type { Predecessor } from './upgrade.ts';

/** What generations are made with. */
export interface GenerationsOptions {
  fleet: Fleet;
  office: Office;
  hooks: Hooks;
  log: Logger;
  pathEvents: PathEvents;
  predecessor: Predecessor | undefined;
  /** Reads the configuration again; what only a restart can change is as it was, and said in `notes`. */
  reconfigure(
    running: Loaded,
    signal: AbortSignal,
  ): Promise<{ loaded: Loaded; launch: Launch; notes: string[] }>;
}

/** The answer to whoever waits for something that a stop has overtaken. */
export const STOPPING: Outcome = { ok: false, message: 'the server is stopping' };
/** Why a generation on trial is given up for the next one. */
const CHANGED_AGAIN = 'the code has changed again';
/** How long a worker may take to fall silent with --watch, in milliseconds. */
const SILENT_WITHIN = 1_000;

/** Replaces generations. */
export class Generations {
  readonly #options: GenerationsOptions;
  readonly #startedAt = performance.now();
  readonly #stopping = new AbortController();
  #trialEnded: (outcome: Outcome) => void = () => {};
  #reloading: Promise<Outcome> | undefined;
  #reloadAgain: Promise<Outcome> | undefined;
  #enterOffice: () => void = () => {};
  /** Resolves when the first generation serves, or never will: before that nothing can be replaced. */
  readonly established = new Promise<void>((resolve) => {
    this.#enterOffice = resolve;
  });

  constructor(options: GenerationsOptions) {
    this.#options = options;
  }

  /** The reload that is under way, or the one that waits for it. */
  get reloading(): Promise<Outcome> | undefined {
    return this.#reloadAgain ?? this.#reloading;
  }

  /**
   * Has a new generation take the place of the one that serves, or everything stay as it is. A reload that is asked
   * for during one begins when that has ended, as it may be meant for newer code; several of them are one.
   *
   * @param by who asks, for the log.
   */
  reload(by: string): Promise<Outcome> {
    const { log, fleet, hooks } = this.#options;
    if (fleet.state.ending) return Promise.resolve(STOPPING);
    if (this.#reloading) {
      this.#reloadAgain ??= this.#reloading.then(() => {
        this.#reloadAgain = undefined;
        return this.reload(by);
      });
      return this.#reloadAgain;
    }
    log.info(`${by}: reloading`);
    this.#reloading = this.#tryGeneration()
      .catch((error: unknown): Outcome => ({ ok: false, message: this.#explained(error).message }))
      .then(async (outcome) => {
        const { ok, message } = outcome;
        if (!ok && fleet.state.ending) return STOPPING;
        if (ok) log.info(message);
        else if (message === CHANGED_AGAIN) log.info(`reload given up: ${CHANGED_AGAIN}`);
        else log.error(`reload failed, everything is as it was: ${message}`);
        const { loaded, number } = fleet.running;
        if (ok) await hooks.use(loaded.hooks);
        hooks.emit({ type: 'onReload', ok, generation: number, message });
        return outcome;
      })
      .finally(() => {
        this.#reloading = undefined;
      });
    return this.#reloading;
  }

  /** A reload for code that has changed: a generation that is still on trial is not waited for, but given up. */
  renew(by: string): Promise<Outcome> {
    const { fleet } = this.#options;
    const outcome = this.reload(by);
    if (fleet.state.generations.length > 1) {
      fleet.change((state) => change.trialFailed(state, CHANGED_AGAIN));
      fleet.settle();
    }
    return outcome;
  }

  /** Nobody waits any more for a generation to serve, nor for a config file to be read. */
  stop(): void {
    this.#stopping.abort();
    this.#enterOffice();
    this.#trialEnded(STOPPING);
  }

  /** The generation on trial has failed. */
  rollBack(why: string): void {
    const { fleet, log, predecessor } = this.#options;
    if (fleet.state.generations.length === 1) {
      log.fatal(why);
      predecessor?.failed(why, fleet.trialStack);
      // Others serve from the same sockets, and workers of ours may have taken requests from them already.
      fleet.change((state, now) => change.ending(state, 'handover', ExitCode.bootFailed, now));
      return;
    }
    const { listeners } = fleet.newest;
    fleet.change(change.rolledBack);
    this.#close(listeners);
    this.#trialEnded({ ok: false, message: why });
  }

  /** Has the newest generation serve, whose workers are ready. */
  async publish(): Promise<void> {
    const { fleet, office, hooks, log } = this.#options;
    const { number, listeners, identity } = fleet.newest;
    const before = fleet.running;
    const isFirst = current(fleet.state).published !== 'yes';
    try {
      if (isFirst) {
        if (!(await office.assume(listeners))) return;
      } else {
        for (const listener of listeners) if (!(await listener.publish())) return;
      }
    } catch (error) {
      this.#onPublishFailed(number, this.#explained(error));
      return;
    }
    // It may have been given up meanwhile.
    if (fleet.newest.number !== number) return;
    fleet.change(change.published);
    fleet.tellAll({ type: 'published' });
    this.#enterOffice();
    const took = Math.round(performance.now() - this.#startedAt);
    const addresses = listeners.map(({ address }) => formatAddress(address));
    if (isFirst) {
      log.info(publishedLine(listeners, fleet.shape, took, identity !== undefined));
      hooks.emit({ type: 'whenReady', pid: process.pid, addresses, took });
    }
    // Before the old workers are told: they empty the queues of sockets that nobody can reach any more.
    this.#close(before.listeners);
    fleet.settle();
    if (number === 1) return;
    await office.follow(fleet.running.loaded.config);
    this.#trialEnded({ ok: true, message: '' });
  }

  /** @throws UserError if the configuration is wrong, or an address cannot be had. */
  async #tryGeneration(): Promise<Outcome> {
    const { fleet, log, pathEvents, reconfigure } = this.#options;
    const { patient, generations } = fleet.state;
    if (!patient || generations[0].published !== 'no') await this.established;
    if (fleet.state.ending) return STOPPING;
    const began = performance.now();
    const wasPaused = fleet.state.paused;
    const { loaded, launch, notes } = await reconfigure(fleet.running.loaded, this.#stopping.signal);
    const { app, config } = loaded;
    if (app === undefined) throw new UserError('no app was given');
    this.#refuseToAbandon(config);
    // Before anything is bound, which would stay so if this failed.
    const setup = setupOf(app, loaded, launch);
    const listeners = await openListeners(config, pathEvents, fleet.running.listeners);
    if (fleet.state.ending || fleet.state.paused !== wasPaused) {
      this.#close(listeners);
      return fleet.state.ending ? STOPPING : { ok: false, message: 'paused or resumed meanwhile' };
    }
    for (const note of notes) log.warn(note);
    const { notes: known } = fleet.running.launch;
    for (const note of launch.notes) if (!known.includes(note)) log.info(note);
    fleet.change((state) => change.reloading(state, config.workers, limitsOf(config)));
    const { number } = fleet.equip({ ...setup, listeners });
    const ended = new Promise<Outcome>((resolve) => {
      this.#trialEnded = resolve;
    });
    fleet.settle();
    const outcome = await ended;
    if (!outcome.ok) return { ...outcome, stack: fleet.trialStack };
    if (config.watch) await fleet.alone(SILENT_WITHIN);
    const took = Math.round(performance.now() - began);
    return {
      ok: true,
      message: `generation ${number} serves with ${countOf(newest(fleet.state).wanted)}, after ${took} ms`,
    };
  }

  #onPublishFailed(number: number, error: UserError): void {
    const { fleet, office, log, predecessor } = this.#options;
    // It may have been given up meanwhile, for another reason.
    if (newest(fleet.state).number !== number) return;
    if (number > 1) fleet.change((state) => change.trialFailed(state, error.message));
    else {
      log.fatal(error.message);
      predecessor?.failed(error.message);
      // Workers of ours may have taken requests: from the sockets of a predecessor, which goes on with them, or from
      // our own in the place of another server's.
      const how = predecessor ? 'handover' : office.isContested ? 'graceful' : 'now';
      fleet.change((state, now) => change.ending(state, how, error.exitCode, now));
    }
    fleet.settle();
  }

  /** An error that is not the operator's is ours: it is logged with its stack, and still takes nobody down. */
  #explained(error: unknown): UserError {
    if (error instanceof UserError) return error;
    this.#options.log.error({ err: error }, 'an error in fasticorn itself; please report it');
    return new UserError(`an error in fasticorn itself: ${(error as Error)?.message ?? error}`);
  }

  /** @throws UserError if a socket were given up in whose queue somebody may wait while no worker is there to answer. */
  #refuseToAbandon(config: Config): void {
    const { state, running } = this.#options.fleet;
    const kept = config.bind.map(formatAddress);
    const lost = state.paused ? running.listeners.find(({ key }) => !kept.includes(key)) : undefined;
    if (lost)
      throw new UserError(
        `requests may wait at ${lost.key} while the server is paused: resume it first, or keep that --bind`,
      );
  }

  /** Gives up those of the listeners that the generation that serves does not want. Their names go first. */
  #close(listeners: readonly Listener[]): void {
    for (const listener of listeners) {
      if (this.#options.fleet.running.listeners.includes(listener)) continue;
      listener.withdraw();
      listener.close();
    }
  }
}
