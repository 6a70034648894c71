/**
 * What the arbiter knows and wants, as plain data, and how each event changes it. Pure: what follows from a state
 * is decided by `plan.ts`, and done by `arbiter.ts`. Times are milliseconds of a monotonic clock.
 */
import type { Farewell } from '../protocol.ts';

/** A worker as the arbiter sees it. */
export interface WorkerState {
  /** Counts up with each spawn; never used twice. */
  id: number;
  /** The place among 1…wanted that the worker fills. */
  slot: number;
  phase: 'booting' | 'ready' | 'retiring';
  /** When the phase began. */
  since: number;
  /** How it was told to go; set while retiring. */
  farewell?: Farewell;
  /** It asked to be replaced, and goes on until its replacement is ready. */
  wantsToLeave: boolean;
  /** Why SIGKILL was sent, if it was; only the exit is outstanding then. */
  killed: KillReason | undefined;
}

/** Why a worker is killed. */
export type KillReason = 'boot timeout' | 'graceful timeout' | 'quick stop' | 'the server is ending';

/** How often the workers of a slot have died young in a row, and when the next one may be spawned. */
export interface SlotState {
  failures: number;
  retryAt: number;
}

/** Why everything ends, and how. */
export interface Ending {
  how: 'graceful' | 'quick' | 'now';
  since: number;
  exitCode: number;
}

/** What the policy needs of the settings, in milliseconds. */
export interface Limits {
  bootTimeout: number;
  gracefulTimeout: number;
}

/** Everything that decisions are made from. */
export interface State {
  readonly wanted: number;
  readonly limits: Limits;
  readonly workers: readonly WorkerState[];
  readonly slots: ReadonlyMap<number, SlotState>;
  readonly nextId: number;
  /** Whether any worker has ever been ready: until then a failure to boot ends the start. */
  readonly everReady: boolean;
  /** Whether the socket has been made reachable: when the first worker was ready. */
  readonly published: boolean;
  /** Whether a worker has emptied the accept queue for a graceful stop, and ended well. */
  readonly emptied: boolean;
  /** Whether a worker was started during the stop, for a queue that nobody else could answer. */
  readonly rescued: boolean;
  readonly ending: Ending | undefined;
}

/** A worker that lived at least this long after it was ready is replaced at once when it dies. */
export const STABLE_AFTER = 2_000;
const FIRST_DELAY = 100;
const LONGEST_DELAY = 10_000;

/** Before anything was spawned. */
export function initialState(wanted: number, limits: Limits): State {
  return {
    ...{ wanted, limits, workers: [], slots: new Map(), nextId: 1, ending: undefined },
    ...{ everReady: false, published: false, emptied: false, rescued: false },
  };
}

/** A worker was started in a slot. */
export function spawned(state: State, slot: number, now: number): State {
  const worker: WorkerState = {
    id: state.nextId,
    slot,
    phase: 'booting',
    since: now,
    wantsToLeave: false,
    killed: undefined,
  };
  const rescued = state.ending !== undefined;
  return { ...state, nextId: state.nextId + 1, workers: [...state.workers, worker], rescued };
}

/** A worker serves. */
export function becameReady(state: State, id: number, now: number): State {
  const next = change(state, id, (worker) =>
    worker.phase === 'booting' ? { ...worker, phase: 'ready', since: now } : worker,
  );
  return { ...next, everReady: true };
}

/** A worker was told to go. */
export function retired(state: State, id: number, farewell: Farewell, now: number): State {
  // Told again, more urgently: the time that it has had so far does not count against it.
  return change(state, id, (worker) => ({ ...worker, phase: 'retiring', since: now, farewell }));
}

/** A worker asks for a replacement, and serves until then. */
export function askedToLeave(state: State, id: number): State {
  return change(state, id, (worker) => ({ ...worker, wantsToLeave: true }));
}

/** SIGKILL was sent. */
export function killed(state: State, id: number, why: KillReason): State {
  return change(state, id, (worker) => ({ ...worker, killed: why }));
}

/** The socket is being made reachable. */
export function published(state: State): State {
  return { ...state, published: true };
}

/** A worker met an error that the app did not catch, and drains by itself: its slot is free from now on. */
export function broke(state: State, id: number, now: number): State {
  return retired(failed(state, id, now), id, 'retire', now);
}

/**
 * A worker is gone. Unless it was told to go its slot remembers the failure; and if no worker has ever been ready,
 * that is the end of the start.
 *
 * @param exitCode what the server exits with in that case.
 * @param clean whether it ended by itself, with code 0.
 */
export function exited(state: State, id: number, now: number, exitCode: number, clean: boolean): State {
  const gone = state.workers.find((worker) => worker.id === id);
  const after = gone?.phase === 'retiring' ? state : failed(state, id, now);
  const next = {
    ...after,
    workers: after.workers.filter((worker) => worker.id !== id),
    emptied: after.emptied || (clean && gone?.farewell === 'stop'),
  };
  return state.everReady || gone?.phase === 'retiring' ? next : ending(next, 'now', exitCode, now);
}

/**
 * How long the slot of a worker waits until it is filled again, in milliseconds: an app that dies young is started
 * again after 0.1 s, 0.2 s, 0.4 s … up to 10 s; one that had served for a while is replaced at once.
 */
function failed(state: State, id: number, now: number): State {
  const worker = state.workers.find((one) => one.id === id);
  if (!worker) return state;
  const stable = worker.phase === 'ready' && now - worker.since >= STABLE_AFTER;
  const failures = stable ? 0 : (state.slots.get(worker.slot)?.failures ?? 0) + 1;
  const delay = failures === 0 ? 0 : Math.min(FIRST_DELAY * 2 ** (failures - 1), LONGEST_DELAY);
  return { ...state, slots: new Map(state.slots).set(worker.slot, { failures, retryAt: now + delay }) };
}

/** The server is to end. A second wish can only make it more urgent; the first exit code stays. */
export function ending(state: State, how: Ending['how'], exitCode: number, now: number): State {
  const urgency = { graceful: 0, quick: 1, now: 2 };
  const before = state.ending;
  if (before && urgency[before.how] >= urgency[how]) return state;
  return { ...state, ending: { how, since: now, exitCode: before?.exitCode ?? exitCode } };
}

function change(state: State, id: number, edit: (worker: WorkerState) => WorkerState): State {
  return { ...state, workers: state.workers.map((worker) => (worker.id === id ? edit(worker) : worker)) };
}
