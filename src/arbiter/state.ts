/**
 * What the arbiter knows and wants, as plain data, and how each event changes it. Pure: what follows from a state
 * is decided by `plan.ts`, and done by `fleet.ts`. Times are milliseconds of a monotonic clock.
 */
import type { Beat, Farewell } from '../protocol.ts';

/** What the policy needs of the settings, in milliseconds, bytes and requests. Infinity where there is no limit. */
export interface Limits {
  bootTimeout: number;
  gracefulTimeout: number;
  /** How long a worker may be silent. */
  timeout: number;
  maxRequests: number;
  /** At most so many are added to `maxRequests`, at random for each worker. */
  maxRequestsJitter: number;
  maxMemory: number;
  maxLifetime: number;
  /** How long all workers of a generation on trial have to be ready until it is believed. */
  probation: number;
}

/** Workers with one configuration and one state of the code. */
export interface Generation {
  /** Counts up; never used twice. */
  readonly number: number;
  readonly wanted: number;
  readonly limits: Limits;
  readonly slots: ReadonlyMap<number, SlotState>;
  /** Set until it has proved that it can serve; what served before stays meanwhile. */
  readonly trial: Trial | undefined;
  /** Whether its sockets are reachable, and it is what serves. */
  readonly published: 'no' | 'pending' | 'yes';
}

/** A generation that has to prove itself. */
export interface Trial {
  /** How many of its workers have died after they were ready. */
  readonly deaths: number;
  /** Why it has failed, in words. */
  readonly failed: string | undefined;
}

/** A worker as the arbiter sees it. */
export interface WorkerState {
  /** Counts up with each spawn; never used twice. */
  readonly id: number;
  readonly generation: number;
  /** The place among 1…wanted that the worker fills. */
  readonly slot: number;
  readonly phase: 'booting' | 'ready' | 'retiring';
  /** When the phase began. */
  readonly since: number;
  /** When it was spawned. */
  readonly born: number;
  /** Those of its generation, with its own share of the jitter. */
  readonly limits: Limits;
  /** How long nothing has been heard of it, counted in the arbiter's ticks: see `ticked`. */
  readonly silence: number;
  /** How it was told to go; set while retiring. */
  readonly farewell: Farewell | undefined;
  /** Why it is to be replaced; it goes on until its replacement is ready. */
  readonly wish: Wish | undefined;
  /** Why SIGKILL was decided on, if it was; only the exit is outstanding then. */
  readonly killed: KillReason | undefined;
}

/** Why a worker that serves is replaced. */
export type Wish = 'SIGTERM' | '--max-requests' | '--max-memory' | '--max-lifetime';

/** Why a worker is killed. */
export type KillReason =
  | 'boot timeout'
  | 'stuck'
  | 'graceful timeout'
  | 'quick stop'
  | 'the server is ending';

/** How often the workers of a slot have died young in a row, and when the next one may be spawned. */
export interface SlotState {
  failures: number;
  retryAt: number;
}

/** Why everything ends, and how. After a `handover` the sockets are somebody else's. */
export interface Ending {
  how: 'graceful' | 'handover' | 'quick' | 'now';
  since: number;
  exitCode: number;
}

/** Everything that decisions are made from. */
export interface State {
  /** The one that serves, and behind it, during a reload, the one on trial. */
  readonly generations: readonly [Generation, ...Generation[]];
  readonly workers: readonly WorkerState[];
  readonly nextId: number;
  readonly nextGeneration: number;
  /** Whether any worker has ever been ready: until then a failure to boot ends the start. */
  readonly everReady: boolean;
  /** Whether a start that fails waits for a reload with better code, rather than end the server. */
  readonly patient: boolean;
  /** Whether there are to be no workers for now. */
  readonly paused: boolean;
  /** Whether a worker has emptied the accept queue for a graceful stop. */
  readonly emptied: boolean;
  /** Whether a worker was started during the stop, for a queue that nobody else could answer. */
  readonly rescued: boolean;
  readonly ending: Ending | undefined;
}

/** A worker that lived at least this long after it was ready is replaced at once when it dies. */
export const STABLE_AFTER = 2_000;
/** So many workers of a generation on trial may die after they were ready until it counts as broken. */
export const MAX_DEATHS = 3;
const FIRST_DELAY = 100;
const LONGEST_DELAY = 10_000;

/**
 * Before anything was spawned.
 *
 * @param onTrial whether every worker has to be ready, and to stay so, before anything is published: as when
 * another server still serves.
 * @param patient whether a start that fails waits for a reload; on trial it never does.
 */
export function initialState(wanted: number, limits: Limits, onTrial = false, patient = false): State {
  const first = newGeneration(1, wanted, limits, onTrial);
  return {
    generations: [first],
    workers: [],
    nextId: 1,
    nextGeneration: 2,
    ending: undefined,
    everReady: false,
    paused: false,
    emptied: false,
    rescued: false,
    patient: patient && !onTrial,
  };
}

function newGeneration(number: number, wanted: number, limits: Limits, onTrial: boolean): Generation {
  const trial = onTrial ? { deaths: 0, failed: undefined } : undefined;
  return { number, wanted, limits, slots: new Map(), trial, published: 'no' };
}

/** The generation that serves, or is about to at the start. */
export function current(state: State): Generation {
  return state.generations[0];
}

/** The generation that everything is on its way to. */
export function newest(state: State): Generation {
  return state.generations.at(-1)!;
}

/** A generation is to take the place of the one that serves, once it has proved itself. */
export function reloading(state: State, wanted: number, limits: Limits): State {
  const next = newGeneration(state.nextGeneration, wanted, limits, true);
  return {
    ...state,
    generations: [current(state), next],
    nextGeneration: state.nextGeneration + 1,
  };
}

/** The generation on trial cannot serve; the first reason stays. */
export function trialFailed(state: State, why: string): State {
  return changeGeneration(state, newest(state).number, (generation) =>
    generation.trial && !generation.trial.failed
      ? { ...generation, trial: { ...generation.trial, failed: why } }
      : generation,
  );
}

/** The newest generation's sockets are being made reachable. */
export function publishing(state: State): State {
  return changeGeneration(state, newest(state).number, (generation) => ({
    ...generation,
    published: 'pending',
  }));
}

/** The newest generation is what serves; those before it are not wanted any more, and a pause is over. */
export function published(state: State): State {
  const generation: Generation = { ...newest(state), trial: undefined, published: 'yes' };
  const isReload = state.generations.length > 1;
  return { ...state, generations: [generation], paused: state.paused && !isReload };
}

/** The generation on trial is given up. */
export function rolledBack(state: State): State {
  return { ...state, generations: [current(state)] };
}

/** Another number of workers is wanted, in each generation: that on trial may have another one already. */
export function scaled(state: State, by: (wanted: number) => number): State {
  const [first, ...rest] = state.generations;
  const apply = (one: Generation) => ({ ...one, wanted: by(one.wanted) });
  return { ...state, generations: [apply(first), ...rest.map(apply)] };
}

/** All workers are to go for now, or to come back; at once, whatever they died of before. */
export function pausedOrNot(state: State, paused: boolean): State {
  const next = { ...state, paused };
  return changeGeneration(next, current(state).number, (generation) => ({ ...generation, slots: new Map() }));
}

/**
 * A worker was started in a slot.
 *
 * @param chance a random number from 0 to 1, for the jitter.
 */
export function spawned(state: State, generation: number, slot: number, now: number, chance = 0): State {
  const { limits } = state.generations.find((one) => one.number === generation)!;
  const worker: WorkerState = {
    id: state.nextId,
    generation,
    slot,
    phase: 'booting',
    since: now,
    born: now,
    silence: 0,
    limits: { ...limits, maxRequests: limits.maxRequests + Math.round(chance * limits.maxRequestsJitter) },
    farewell: undefined,
    wish: undefined,
    killed: undefined,
  };
  const rescued = state.ending !== undefined;
  return { ...state, nextId: state.nextId + 1, workers: [...state.workers, worker], rescued };
}

/** A worker serves; too late if it is being killed. */
export function becameReady(state: State, id: number, now: number): State {
  if (!state.workers.some((worker) => worker.id === id && !worker.killed)) return state;
  const next = change(state, id, (worker) =>
    worker.phase === 'booting' ? { ...worker, phase: 'ready', since: now, silence: 0 } : worker,
  );
  return { ...next, everReady: true };
}

/** A worker was told to go. If it has served well, those before it that died young were not the last in their row. */
export function retired(state: State, id: number, farewell: Farewell, now: number): State {
  const worker = state.workers.find((one) => one.id === id);
  const next = worker && isStable(worker, now) ? forgiven(state, worker) : state;
  // Told again, more urgently: the time that it has had so far does not count against it. Nor does its boot.
  return change(next, id, (one) => {
    const silence = one.phase === 'booting' ? 0 : one.silence;
    return { ...one, phase: 'retiring', since: now, farewell, silence };
  });
}

function isStable({ phase, since }: WorkerState, now: number): boolean {
  return phase === 'ready' && now - since >= STABLE_AFTER;
}

function forgiven(state: State, { generation, slot }: WorkerState): State {
  return changeGeneration(state, generation, (one) => {
    const slots = new Map(one.slots);
    slots.delete(slot);
    return { ...one, slots };
  });
}

/** A worker asks for a replacement, and serves until then. */
export function askedToLeave(state: State, id: number): State {
  return change(state, id, (worker) => ({ ...worker, wish: worker.wish ?? 'SIGTERM' }));
}

/** A worker has told of itself: it is alive, and perhaps it has done enough. */
export function beaten(state: State, id: number, beat: Pick<Beat, 'requests' | 'rss'>, now: number): State {
  return change(state, id, (worker) => ({
    ...worker,
    silence: 0,
    wish: worker.wish ?? wishOf(worker, beat, now),
  }));
}

function wishOf(
  { limits, phase, since, born }: WorkerState,
  { requests, rss }: Pick<Beat, 'requests' | 'rss'>,
  now: number,
): Wish | undefined {
  // With a limit that a new worker passes at once, replacements would follow each other as fast as they boot.
  if (phase !== 'ready' || now - since < STABLE_AFTER) return undefined;
  if (requests >= limits.maxRequests) return '--max-requests';
  if (rss >= limits.maxMemory) return '--max-memory';
  if (now - born >= limits.maxLifetime) return '--max-lifetime';
  return undefined;
}

/**
 * One tick of the arbiter has gone by. Silence is counted in ticks rather than read from a clock: an arbiter that did
 * not run (stopped, suspended with the machine, starved) has had no ticks either, and so never blames its workers.
 */
export function ticked(state: State, milliseconds: number): State {
  const workers = state.workers.map((worker) => ({ ...worker, silence: worker.silence + milliseconds }));
  return { ...state, workers };
}

/** A worker has emptied the accept queues for a graceful stop: nobody needs to be started for that any more. */
export function queuesEmptied(state: State): State {
  return { ...state, emptied: true };
}

/** SIGKILL was decided on. */
export function killed(state: State, id: number, why: KillReason): State {
  return change(state, id, (worker) => ({ ...worker, killed: why }));
}

/**
 * A worker cannot go on, and drains by itself: its slot is free from now on. One that was told to stop may not have heard
 * of that before: then it leaves the accept queue alone.
 *
 * @param reason in words, for whoever waits for a generation on trial.
 */
export function broke(state: State, id: number, now: number, reason: string): State {
  if (state.workers.some((worker) => worker.id === id && worker.phase === 'retiring'))
    return change(state, id, (worker) =>
      worker.farewell === 'stop' ? { ...worker, farewell: 'retire' } : worker,
    );
  return retired(failed(state, id, now, { hopeless: false, reason }), id, 'retire', now);
}

/** How a worker ended: by itself with code 0, with a signal, or because it could not go on. */
export interface Exit {
  /** What the server exits with if that is the end of the start. */
  exitCode: number;
  /** Whether it ended by itself, with code 0. */
  clean: boolean;
  /** Whether it could not boot, by its own doing, so that another one need not try. */
  hopeless: boolean;
  /** In words, for whoever waits for a generation on trial. */
  reason: string;
}

/**
 * A worker is gone. Unless it was told to go its slot remembers the failure; and if no worker has ever been ready,
 * that is the end of the start.
 */
export function exited(state: State, id: number, now: number, exit: Exit): State {
  const gone = state.workers.find((worker) => worker.id === id);
  const after = gone?.phase === 'retiring' ? state : failed(state, id, now, exit);
  const next = {
    ...after,
    workers: after.workers.filter((worker) => worker.id !== id),
    emptied: after.emptied || (exit.clean && gone?.farewell === 'stop'),
  };
  const { trial } = current(next);
  const startFailed = trial ? trial.failed !== undefined : !state.everReady && gone?.phase !== 'retiring';
  if (startFailed && state.patient)
    return gone?.generation === current(next).number ? abandoned(next, gone) : next;
  // On trial others serve from the same sockets, and workers of ours may have taken requests from them already.
  return startFailed ? ending(next, trial ? 'handover' : 'now', exit.exitCode, now) : next;
}

/** The slot of a worker stays empty: only other code can help. */
function abandoned(state: State, { generation, slot }: WorkerState): State {
  return changeGeneration(state, generation, (one) => {
    const failures = one.slots.get(slot)?.failures ?? 0;
    return { ...one, slots: new Map(one.slots).set(slot, { failures, retryAt: Number.POSITIVE_INFINITY }) };
  });
}

/**
 * How long the slot of a worker waits until it is filled again, in milliseconds: an app that dies young is started
 * again after 0.1 s, 0.2 s, 0.4 s … up to 10 s; one that had served for a while is replaced at once. A generation on
 * trial fails with the first worker that cannot boot, and with the third that dies after it was ready.
 */
function failed(state: State, id: number, now: number, how: Pick<Exit, 'hopeless' | 'reason'>): State {
  const worker = state.workers.find((one) => one.id === id);
  if (!worker) return state;
  const stable = isStable(worker, now);
  const next = changeGeneration(state, worker.generation, ({ trial, slots, ...generation }) => {
    const failures = stable ? 0 : (slots.get(worker.slot)?.failures ?? 0) + 1;
    const delay = failures === 0 ? 0 : Math.min(FIRST_DELAY * 2 ** (failures - 1), LONGEST_DELAY);
    return {
      ...generation,
      slots: new Map(slots).set(worker.slot, { failures, retryAt: now + delay }),
      trial: trial && { ...trial, deaths: trial.deaths + 1 },
    };
  });
  const { number, trial } = newest(next);
  if (!trial || number !== worker.generation) return next;
  const hopeless = how.hopeless || worker.killed === 'boot timeout';
  return hopeless || trial.deaths >= MAX_DEATHS ? trialFailed(next, how.reason) : next;
}

/** The server is to end. A second wish can only make it more urgent; the first exit code stays. */
export function ending(state: State, how: Ending['how'], exitCode: number, now: number): State {
  const urgency = { handover: 0, graceful: 0, quick: 1, now: 2 };
  const before = state.ending;
  if (before && urgency[before.how] >= urgency[how]) return state;
  return { ...state, ending: { how, since: now, exitCode: before?.exitCode ?? exitCode } };
}

function change(state: State, id: number, edit: (worker: WorkerState) => WorkerState): State {
  return { ...state, workers: state.workers.map((worker) => (worker.id === id ? edit(worker) : worker)) };
}

function changeGeneration(state: State, number: number, edit: (one: Generation) => Generation): State {
  const [first, ...rest] = state.generations;
  const apply = (one: Generation) => (one.number === number ? edit(one) : one);
  return { ...state, generations: [apply(first), ...rest.map(apply)] };
}
