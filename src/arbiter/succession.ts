/**
 * How another server takes our place: a successor that we start for an upgrade, or a newcomer that asks for a takeover.
 * Knows who guards the sockets' names at which step, so that nothing is lost if either dies in between.
 */
import type { Outcome } from '../commands.ts';
import { UserError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Fleet } from './fleet.ts';
import { type Generations, STOPPING } from './generations.ts';
import type { Office } from './office.ts';
import { current } from './state.ts';
import { type Invocation, Successor } from './upgrade.ts';

/** What succession needs of us. */
export interface SuccessionOptions {
  fleet: Fleet;
  generations: Generations;
  office: Office;
  log: Logger;
  invocation: Invocation;
  /** Ends this server: after a `handover` the sockets are the successor's. */
  end(how: 'handover' | 'graceful', why: string): void;
}

const YIELDING: Outcome = { ok: false, message: 'another server is about to take over' };

/** Gives our place to another server. */
export class Succession {
  readonly #options: SuccessionOptions;
  #upgrading: Promise<Outcome> | undefined;
  #successor: Successor | undefined;
  #yielding: 'no' | 'asked' | 'done' = 'no';

  constructor(options: SuccessionOptions) {
    this.#options = options;
  }

  get isUpgrading(): boolean {
    return this.#upgrading !== undefined;
  }

  /** Why nothing else may be begun at this moment. */
  get obstacle(): Outcome | undefined {
    if (this.#upgrading) return { ok: false, message: 'an upgrade is under way' };
    return this.#yielding === 'no' ? undefined : YIELDING;
  }

  /**
   * Starts a new arbiter that inherits our sockets, and makes way for it when it could serve. Asked again meanwhile,
   * the answer is the same.
   *
   * @param by who asks, for the log.
   */
  upgrade(by: string): Promise<Outcome> {
    const { invocation, log, fleet } = this.#options;
    const { patient } = fleet.state;
    const isStarting = current(fleet.state).published !== 'yes';
    // Whether a start that waits for better code ever ends, nobody knows; meanwhile only a reload helps.
    const obstacle = patient && isStarting ? 'nothing serves yet' : invocation.tiedToUs;
    if (obstacle !== undefined) {
      const message = `cannot upgrade: ${obstacle}`;
      log.error(`${by}: ${message}`);
      return Promise.resolve({ ok: false, message });
    }
    if (isStarting) log.info(`${by}: upgrading once this server serves`);
    this.#upgrading ??= this.#upgrade(by).finally(() => {
      this.#upgrading = undefined;
    });
    return this.#upgrading;
  }

  /** This server ends: a successor ends as well, unless it has taken over by now. */
  abort(quickly: boolean): void {
    const { shared } = this.#options.fleet;
    // Once it may take over it is on its own, and the names are its.
    if (shared) for (const listener of shared) listener.handOver();
    else this.#successor?.abort(quickly ? 'SIGINT' : 'SIGTERM');
  }

  async #upgrade(by: string): Promise<Outcome> {
    const { fleet, generations, office, log, invocation, end } = this.#options;
    await generations.established;
    await generations.reloading;
    if (fleet.state.ending) return STOPPING;
    if (this.#yielding !== 'no') {
      log.warn(`${by}: ${YIELDING.message}`);
      return YIELDING;
    }
    const { listeners, loaded } = fleet.running;
    log.info(`${by}: starting a new arbiter`);
    let outcome: Outcome;
    try {
      this.#successor = new Successor(loaded.config, invocation, listeners, (keeps) => {
        if (fleet.state.ending) return undefined;
        // Not guarded any more, so that from now on the names are changed by one of us only.
        fleet.shared = listeners.filter(({ key }) => keeps.includes(key));
        for (const listener of fleet.shared) listener.release();
        return { type: 'yours', controlPath: office.controlPath };
      });
      outcome = await this.#successor.outcome();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      outcome = { ok: false, message: error.message };
    }
    const pid = this.#successor?.pid;
    this.#successor = undefined;
    if (outcome.ok) {
      end('handover', `the new arbiter (pid ${pid}) serves: finishing requests`);
      return outcome;
    }
    fleet.shared = undefined;
    if (fleet.state.ending) return outcome;
    log.error(`upgrade failed, everything is as it was: ${outcome.message}`);
    if (current(fleet.state).published === 'yes')
      await office.resume(listeners).catch((error: Error) => log.error(error.message));
    return outcome;
  }

  /** A newcomer asks for our path: from now on it may replace our sockets there. */
  yieldPath(): Outcome {
    const { fleet, generations, log } = this.#options;
    const isBusy = fleet.state.ending || generations.reloading || current(fleet.state).published !== 'yes';
    if (isBusy || this.obstacle)
      return { ok: false, message: 'it is busy with a stop, a reload, an upgrade or another takeover' };
    log.info('another server asks to take over');
    this.#yielding = 'asked';
    for (const listener of fleet.running.listeners) listener.release();
    return { ok: true, message: 'the path is yours' };
  }

  /** The newcomer has replaced them. */
  yieldDone(): Outcome {
    if (this.#yielding !== 'asked') return { ok: false, message: 'nobody has asked for the path' };
    this.#yielding = 'done';
    return { ok: true, message: 'finishing requests, then ending' };
  }

  /** The newcomer has hung up: it serves, or it has died or given up, and then the path is ours again. */
  yieldEnded(): void {
    const { fleet, log, end } = this.#options;
    const replaced = this.#yielding === 'done';
    this.#yielding = 'no';
    if (replaced) {
      end('graceful', 'another server has taken over: stopping once every request has its answer');
      return;
    }
    if (fleet.state.ending) return;
    log.warn('the server that asked to take over went away; going on');
    for (const listener of fleet.running.listeners) listener.reclaim();
  }
}
