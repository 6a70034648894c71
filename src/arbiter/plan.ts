/**
 * The whole policy: what to do in a given state. Pure; `state.ts` says how events change the state, `fleet.ts`
 * carries the actions out and records them. Calling it again with the recorded actions yields the next ones.
 */
import type { Farewell } from '../protocol.ts';
import {
  current,
  type Generation,
  type KillReason,
  newest,
  type State,
  type Wish,
  type WorkerState,
} from './state.ts';

/** Something for the arbiter to do now. */
export type Action =
  /** Make the newest generation's sockets reachable, and it what serves. */
  | { type: 'publish' }
  /** Give the generation on trial up. */
  | { type: 'rollBack'; why: string }
  | { type: 'spawn'; generation: number; slot: number }
  | { type: 'retire'; id: number; farewell: Farewell; why: RetireReason }
  | { type: 'kill'; id: number; why: KillReason }
  | { type: 'exit'; code: number };

/** Why a worker is told to go. */
export type RetireReason = Wish | 'new generation' | 'failed generation' | 'scaled down' | 'paused' | 'stop';

/** What to do now, and when to ask again even if nothing happens. */
export interface Plan {
  actions: Action[];
  /** A time of the state's clock, in milliseconds; undefined if only an event can change anything. */
  wakeAt: number | undefined;
}

/** What a quick stop gives a worker: one second for its requests, and what its onClose hooks need. */
export const QUICK_LIMIT = 3_000;

/** Decides. */
export function plan(state: State, now: number): Plan {
  const actions: Action[] = [];
  const later: number[] = [];
  /** True if the time has come; otherwise sees to it that the plan is made again then. */
  const due = (time: number): boolean => {
    if (now >= time) return true;
    if (Number.isFinite(time)) later.push(time);
    return false;
  };
  if (state.ending) end(state, now, actions, due);
  else serve(state, actions, due);
  return { actions, wakeAt: later.length > 0 ? Math.min(...later) : undefined };
}

type Due = (time: number) => boolean;

function serve(state: State, actions: Action[], due: Due): void {
  const last = newest(state);
  if (last.trial?.failed) {
    actions.push({ type: 'rollBack', why: last.trial.failed });
    return;
  }
  if (last.published === 'no' && mayBePublished(state, last, due)) actions.push({ type: 'publish' });
  for (const generation of state.generations) {
    if (!(state.paused && generation === current(state))) fill(state, generation, actions, due);
  }
  replaceOne(state, last, actions, due);
  for (const worker of state.workers) {
    if (worker.phase === 'retiring' || worker.killed) continue;
    const why = retireReason(state, worker);
    if (why) actions.push({ type: 'retire', id: worker.id, farewell: 'retire', why });
  }
  for (const worker of state.workers) {
    const why = worker.killed ? undefined : killReason(worker, due);
    if (why) actions.push({ type: 'kill', id: worker.id, why });
  }
}

/** The workers of a generation that have not been told to go, in one of its slots or in all. */
function staff(state: State, generation: Generation, slot?: number): WorkerState[] {
  return state.workers.filter(
    (worker) =>
      worker.generation === generation.number &&
      worker.phase !== 'retiring' &&
      (slot === undefined || worker.slot === slot),
  );
}

/** Those of them that serve. */
function serving(state: State, generation: Generation): WorkerState[] {
  return staff(state, generation).filter(({ phase, killed }) => phase === 'ready' && !killed);
}

/** At the start one worker is enough; a generation on trial needs all, and they have to stay for a moment. */
function mayBePublished(state: State, generation: Generation, due: Due): boolean {
  const ready = serving(state, generation);
  if (!generation.trial) return ready.length > 0;
  for (let slot = 1; slot <= generation.wanted; slot++) {
    const mine = ready.find((worker) => worker.slot === slot);
    if (!mine || !due(mine.since + generation.limits.probation)) return false;
  }
  return true;
}

/**
 * Too few workers: fills each empty slot, unless its last workers died young. A stuck one is as good as gone, though it may
 * take seconds until it has told where; but if the next one is stuck as well, more would not help.
 */
function fill(state: State, generation: Generation, actions: Action[], due: Due): void {
  for (let slot = 1; slot <= generation.wanted; slot++) {
    const there = staff(state, generation, slot);
    if (there.length > 1 || there.some(({ killed }) => killed !== 'stuck')) continue;
    if (due(retryAt(generation, slot))) actions.push({ type: 'spawn', generation: generation.number, slot });
  }
}

/** Spawns the replacement of one worker that is to go, and of the next one only when that is ready: never all at once. */
function replaceOne(state: State, generation: Generation, actions: Action[], due: Due): void {
  const leaving = staff(state, generation).filter(({ wish, killed }) => wish && !killed);
  const isReplaced = ({ id, slot }: WorkerState) => staff(state, generation, slot).some((one) => one.id > id);
  if (state.paused || leaving.some(isReplaced)) return;
  const next = leaving.find(({ slot }) => slot <= generation.wanted);
  if (next && due(retryAt(generation, next.slot)))
    actions.push({ type: 'spawn', generation: generation.number, slot: next.slot });
}

function retryAt(generation: Generation, slot: number): number {
  return generation.slots.get(slot)?.retryAt ?? 0;
}

function retireReason(state: State, worker: WorkerState): RetireReason | undefined {
  const generation = state.generations.find(({ number }) => number === worker.generation);
  if (!generation) return worker.generation < current(state).number ? 'new generation' : 'failed generation';
  if (state.paused && generation === current(state)) return 'paused';
  const others = serving(state, generation);
  const { id, slot, phase } = worker;
  if (slot > generation.wanted) {
    // While the workers that are to stay boot or die, it goes on in their place.
    const before = new Set(others.map((other) => other.slot).filter((one) => one < slot));
    if (phase === 'booting' || before.size >= generation.wanted) return 'scaled down';
  }
  return others.some((other) => other.slot === slot && other.id > id) ? worker.wish : undefined;
}

function killReason({ phase, since, silence, limits }: WorkerState, due: Due): KillReason | undefined {
  if (phase === 'booting') {
    // In ticks as well: an arbiter that was stopped meanwhile has not heard yet who is ready.
    return due(since + limits.bootTimeout) && silence >= limits.bootTimeout ? 'boot timeout' : undefined;
  }
  if (silence >= limits.timeout) return 'stuck';
  return phase === 'retiring' && due(since + limits.gracefulTimeout) ? 'graceful timeout' : undefined;
}

function end(state: State, now: number, actions: Action[], due: Due): void {
  const { how, since, exitCode } = state.ending!;
  const rescuer = rescuerOf(state, now);
  if (rescuer) {
    actions.push({ type: 'spawn', generation: rescuer.number, slot: 1 });
    return;
  }
  if (state.workers.length === 0) {
    actions.push({ type: 'exit', code: exitCode });
    return;
  }
  for (const worker of state.workers) {
    if (worker.killed) continue;
    // A booting worker ends at once: that says nothing of the accept queue.
    const farewell = how === 'graceful' && worker.phase === 'booting' ? 'retire' : FAREWELLS[how];
    const limit = farewell === 'quick' ? QUICK_LIMIT : worker.limits.gracefulTimeout;
    if (how === 'now') {
      actions.push({ type: 'kill', id: worker.id, why: 'the server is ending' });
    } else if (due(since + limit)) {
      actions.push({
        type: 'kill',
        id: worker.id,
        why: farewell === 'quick' ? 'quick stop' : 'graceful timeout',
      });
    } else if (needsTelling(worker, farewell) && !isAwaited(state, worker)) {
      actions.push({ type: 'retire', id: worker.id, farewell, why: 'stop' });
    }
  }
}

const FAREWELLS = { graceful: 'stop', handover: 'retire', quick: 'quick', now: 'quick' } as const;

function needsTelling(worker: WorkerState, farewell: Farewell): boolean {
  return farewell === 'quick' ? worker.farewell !== 'quick' : worker.farewell === undefined;
}

/**
 * A graceful stop may find nobody who could answer what waits in the accept queue: all workers have died, or stopped
 * accepting when they broke or retired. One more is started then, and only one, of the generation returned.
 */
function rescuerOf(state: State, now: number): Generation | undefined {
  const { ending, emptied, rescued } = state;
  const generation = reachable(state);
  if (ending?.how !== 'graceful' || !generation || emptied || rescued) return undefined;
  if (now >= ending.since + generation.limits.gracefulTimeout) return undefined;
  return state.workers.every((worker) => worker.killed || worker.farewell === 'retire')
    ? generation
    : undefined;
}

/**
 * The newest generation at whose sockets somebody may wait, now or in a moment. It has those of the one before as well if
 * that has no workers because it is paused.
 */
function reachable({ generations }: State): Generation | undefined {
  return generations.findLast(({ published }) => published !== 'no');
}

/**
 * Whether a booting worker is the only one that could still answer what waits in the accept queue: then it is told
 * to stop once it serves. Before the sockets were published nobody can have connected.
 */
function isAwaited(state: State, worker: WorkerState): boolean {
  return (
    worker.phase === 'booting' &&
    state.ending?.how === 'graceful' &&
    reachable(state) !== undefined &&
    !state.workers.some((other) => !other.killed && (other.phase === 'ready' || other.farewell === 'stop'))
  );
}
