/**
 * Gives back the memory that loading the app has left behind, while a worker has not served yet; after that its heap is let
 * be. Knows from the beats when that is, and how V8 is asked; which flags V8 is told is known to `v8-tuning.ts`.
 */
import type { Beat } from '../protocol.ts';
import { tellV8 } from './v8-tuning.ts';

/** The beat that may find a worker at rest: the one before is sent as soon as it is ready. */
const FIRST_AT_REST = 2;
/** The event loop of a worker at rest is busy for no more of the time between two beats. */
const QUIET = 0.1;
/** A worker whose event loop has been busy for so many times that time has compiled code worth keeping. */
const WORKED = 0.5;
/** Collecting stops a worker for 2 to 3 ms for each MiB that is alive. In bytes. */
const LARGE = 24 * 2 ** 20;

export interface IdleMemory {
  /** Called when the heap was collected. */
  onCollected(): void;
  /**
   * Called once, when the worker has served: to keep V8 from collecting at rest from then on. It would otherwise collect
   * some time after this collection, as it does after its own.
   */
  onServing(): void;
  /** In place of asking V8. */
  collect?(): void;
}

/**
 * Has V8 collect a small heap once, at the first beat that finds the worker at rest and without a connection. Whoever
 * connects just then waits.
 *
 * @returns what is to be told of each beat.
 */
export function tendHeap({
  onCollected,
  onServing,
  collect = collectEverything,
}: IdleMemory): (beat: Pick<Beat, 'connections' | 'utilization' | 'heap'>) => void {
  let beats = 0;
  let worked = 0;
  let isDecided = false;
  return ({ connections, utilization, heap }) => {
    // The first one tells of no time at all.
    if (++beats < FIRST_AT_REST || worked >= WORKED) return;
    worked += utilization;
    if (worked >= WORKED) onServing();
    else if (!isDecided && connections === 0 && utilization <= QUIET) {
      isDecided = true;
      if (heap > LARGE) return;
      collect();
      onCollected();
    }
  };
}

function collectEverything(): void {
  // A new context has V8's own, where there is one, and not what the app may have made of it.
  const find = (): NodeJS.GCFunction | undefined =>
    process.getBuiltinModule('node:vm').runInNewContext('globalThis.gc');
  try {
    let gc = find();
    if (!gc) {
      tellV8(['--expose-gc']);
      try {
        gc = find();
      } finally {
        tellV8(['--no-expose-gc']);
      }
    }
    // Collections of other kinds were seen to give nothing back to the system.
    gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  } catch {
    // An app that has replaced one of these functions is not to be broken by that.
  }
}
