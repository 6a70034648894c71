/**
 * A server without processes: a clock, a state, and what the plan makes of it, carried out as the arbiter does.
 */
import assert from 'node:assert/strict';
import { PROBATION } from '../../src/arbiter/limits.ts';
import { type Action, plan } from '../../src/arbiter/plan.ts';
import * as state from '../../src/arbiter/state.ts';
import { ExitCode } from '../../src/errors.ts';

/** No limits but those that every server has. */
export const limits: state.Limits = {
  ...{ bootTimeout: 30_000, gracefulTimeout: 20_000, timeout: 10_000 },
  ...{ maxRequests: Infinity, maxRequestsJitter: 0, maxMemory: Infinity, maxLifetime: Infinity },
  probation: PROBATION,
};

/** So many times in a row the plan may want something more before it is said to go in circles. */
const MOST_ROUNDS = 50;

export class Simulation {
  now = 0;
  state: state.State;
  /** What becomes of an attempt to make the sockets reachable; `pending` until `published` or `publishFailed`. */
  publishing: 'works' | 'pending' = 'works';
  /** Workers whose event loop does not turn. */
  readonly mute = new Set<number>();
  /** What is to be looked at before each action. */
  onAction: (action: Action) => void = () => {};

  constructor(
    workers: number,
    {
      onTrial = false,
      patient = false,
      ...own
    }: Partial<state.Limits> & {
      onTrial?: boolean;
      patient?: boolean;
    } = {},
  ) {
    this.state = state.initialState(workers, { ...limits, ...own }, onTrial, patient);
  }

  /** A server whose workers have been ready for ten seconds. */
  static serving(workers: number, own: Partial<state.Limits> = {}): Simulation {
    const server = new Simulation(workers, own);
    server.settle();
    server.readyAll();
    server.settle();
    server.now += 10_000;
    return server;
  }

  /** Does what the plan says until it says nothing more, and returns that, each action as a few words. */
  settle(): string[] {
    const done: string[] = [];
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const { actions } = plan(this.state, this.now);
      for (const action of actions) {
        this.onAction(action);
        done.push(wordsOf(action));
        this.#do(action);
      }
      // That takes a moment: not before the other actions.
      if (this.publishing === 'works' && actions.some(({ type }) => type === 'publish')) this.published();
      if (actions.length === 0 || actions.some(({ type }) => type === 'exit')) return done;
    }
    assert.fail(`the plan goes in circles: ${done.slice(-4).join(', ')}`);
  }

  #do(action: Action): void {
    switch (action.type) {
      case 'spawn':
        this.state = state.spawned(this.state, action.generation, action.slot, this.now);
        break;
      case 'publish':
        this.state = state.publishing(this.state);
        break;
      case 'rollBack':
        if (this.state.generations.length > 1) this.state = state.rolledBack(this.state);
        else this.end('handover', ExitCode.bootFailed);
        break;
      case 'kill':
        this.state = state.killed(this.state, action.id, action.why);
        break;
      case 'retire':
        this.state = state.retired(this.state, action.id, action.farewell, this.now);
    }
  }

  // What workers do.

  ready(id: number): void {
    this.state = state.becameReady(this.state, id, this.now);
  }

  /** Every worker that boots is ready now. */
  readyAll(): void {
    for (const { id, phase } of this.state.workers) if (phase === 'booting') this.ready(id);
  }

  /** A worker dies; `hopeless` if it said that it cannot serve. */
  exit(id: number, { exitCode = 3, hopeless = false, reason = 'it died' } = {}): void {
    this.state = state.exited(this.state, id, this.now, { exitCode, clean: false, hopeless, reason });
  }

  /** A worker ends as it was told. */
  finish(id: number): void {
    const exit = { exitCode: 3, clean: true, hopeless: false, reason: 'it ended' };
    this.state = state.exited(this.state, id, this.now, exit);
  }

  /** A worker meets an error that the app did not catch. */
  break(id: number): void {
    this.state = state.broke(this.state, id, this.now, 'a worker met an error');
  }

  /** SIGTERM arrives at a worker. */
  term(id: number): void {
    this.state = state.askedToLeave(this.state, id);
  }

  beat(id: number, { requests = 0, rss = 0 } = {}): void {
    this.state = state.beaten(this.state, id, { requests, rss }, this.now);
  }

  // What the clock does.

  /** Time goes by, the arbiter ticks, and all workers beat but those that boot or are mute. */
  pass(milliseconds: number): void {
    this.now += milliseconds;
    this.state = state.ticked(this.state, milliseconds);
    for (const { id, phase } of this.state.workers)
      if (phase !== 'booting' && !this.mute.has(id)) this.beat(id);
  }

  /** Time goes by until the plan wants to be asked again; says how long that was. */
  sleep(): number {
    const { wakeAt } = plan(this.state, this.now);
    assert.notEqual(wakeAt, undefined, 'nothing would ever wake the arbiter');
    const slept = wakeAt! - this.now;
    this.pass(slept);
    return slept;
  }

  // What the operator does.

  reload(workers: number, own: Partial<state.Limits> = {}): void {
    this.state = state.reloading(this.state, workers, { ...limits, ...own });
  }

  published(): void {
    this.state = state.published(this.state);
  }

  publishFailed(why: string): void {
    this.state = state.trialFailed(this.state, why);
  }

  scale(wanted: number): void {
    const before = state.current(this.state).wanted;
    this.state = state.scaled(this.state, () => wanted);
    if (this.state.paused && wanted >= before) this.state = state.pausedOrNot(this.state, false);
  }

  pause(): void {
    this.state = state.pausedOrNot(state.trialFailed(this.state, 'paused'), true);
  }

  resume(): void {
    this.state = state.pausedOrNot(this.state, false);
  }

  end(how: state.Ending['how'], code = 0): void {
    this.state = state.ending(this.state, how, code, this.now);
  }
}

/** `spawn 2/1` is the first slot of the second generation; `retire 3 (paused)` means worker 3. */
function wordsOf(action: Action): string {
  switch (action.type) {
    case 'spawn':
      return `spawn ${action.generation}/${action.slot}`;
    case 'retire':
      return action.why === 'stop'
        ? `${action.farewell} ${action.id}`
        : `${action.farewell} ${action.id} (${action.why})`;
    case 'kill':
      return `kill ${action.id} (${action.why})`;
    case 'rollBack':
      return `roll back (${action.why})`;
    case 'exit':
      return `exit ${action.code}`;
    case 'publish':
      return 'publish';
  }
}
