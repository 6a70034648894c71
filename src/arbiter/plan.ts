/**
 * The whole policy: what to do in a given state. Pure; `state.ts` says how events change the state, `arbiter.ts`
 * carries the actions out and records them. Calling it again with the recorded actions yields the next ones.
 */
import type { Farewell } from '../protocol.ts';
import type { KillReason, State, WorkerState } from './state.ts';

/** Something for the arbiter to do now. */
export type Action =
  | { type: 'publish' }
  | { type: 'spawn'; slot: number }
  | { type: 'retire'; id: number; farewell: Farewell }
  | { type: 'kill'; id: number; why: KillReason }
  | { type: 'exit'; code: number };

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
    later.push(time);
    return false;
  };
  if (state.ending) end(state, now, actions, due);
  else serve(state, actions, due);
  return { actions, wakeAt: later.length > 0 ? Math.min(...later) : undefined };
}

type Due = (time: number) => boolean;

function serve(state: State, actions: Action[], due: Due): void {
  if (state.everReady && !state.published) actions.push({ type: 'publish' });
  for (let slot = 1; slot <= state.wanted; slot++) {
    const mine = state.workers.filter((worker) => worker.slot === slot && worker.phase !== 'retiring');
    const staying = mine.filter((worker) => !worker.wantsToLeave);
    // Too few: fill the slot, unless its last workers died young.
    if (staying.length === 0 && due(state.slots.get(slot)?.retryAt ?? 0))
      actions.push({ type: 'spawn', slot });
    // A replacement is ready: now the one that wants to leave may.
    if (staying.some((worker) => worker.phase === 'ready')) {
      for (const worker of mine) {
        if (worker.wantsToLeave) actions.push({ type: 'retire', id: worker.id, farewell: 'retire' });
      }
    }
  }
  for (const worker of state.workers) {
    if (worker.killed) continue;
    if (worker.phase === 'booting' && due(worker.since + state.limits.bootTimeout)) {
      actions.push({ type: 'kill', id: worker.id, why: 'boot timeout' });
    }
    if (worker.phase === 'retiring' && due(worker.since + state.limits.gracefulTimeout)) {
      actions.push({ type: 'kill', id: worker.id, why: 'graceful timeout' });
    }
  }
}

function end(state: State, now: number, actions: Action[], due: Due): void {
  const { how, since, exitCode } = state.ending!;
  if (needsRescue(state, now)) {
    actions.push({ type: 'spawn', slot: 1 });
    return;
  }
  if (state.workers.length === 0) {
    actions.push({ type: 'exit', code: exitCode });
    return;
  }
  const farewell: Farewell = how === 'graceful' ? 'stop' : 'quick';
  const limit = how === 'graceful' ? state.limits.gracefulTimeout : QUICK_LIMIT;
  for (const worker of state.workers) {
    if (worker.killed) continue;
    if (how === 'now') {
      actions.push({ type: 'kill', id: worker.id, why: 'the server is ending' });
    } else if (due(since + limit)) {
      actions.push({
        type: 'kill',
        id: worker.id,
        why: how === 'graceful' ? 'graceful timeout' : 'quick stop',
      });
    } else if (needsTelling(worker, farewell) && !isAwaited(state, worker)) {
      actions.push({ type: 'retire', id: worker.id, farewell });
    }
  }
}

function needsTelling(worker: WorkerState, farewell: Farewell): boolean {
  return farewell === 'quick' ? worker.farewell !== 'quick' : worker.farewell === undefined;
}

/**
 * Whether a graceful stop finds nobody who could answer what waits in the accept queue: all workers have died, or
 * stopped accepting when they broke. One more is started then, and only one.
 */
function needsRescue(state: State, now: number): boolean {
  const { ending, limits, published, emptied, rescued } = state;
  if (ending?.how !== 'graceful' || !published || emptied || rescued) return false;
  if (now >= ending.since + limits.gracefulTimeout) return false;
  return state.workers.every((worker) => worker.killed || worker.farewell === 'retire');
}

/**
 * Whether a booting worker is the only one that could still answer what waits in the accept queue: then it is told
 * to stop once it serves. Before any worker was ready nobody can have connected.
 */
function isAwaited(state: State, worker: WorkerState): boolean {
  return (
    worker.phase === 'booting' &&
    state.ending?.how === 'graceful' &&
    state.everReady &&
    !state.workers.some((other) => other.phase === 'ready' || other.farewell === 'stop')
  );
}
