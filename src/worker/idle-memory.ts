/**
 * Gives back the memory that loading the app has left behind, while a worker has not served yet; after that its heap is let
 * be. Knows from the beats when that is, and how V8 is asked; which flags V8 is told is known to `v8-tuning.ts`.
 */
import type { Beat } from '../protocol.ts';

/** A worker that has answered as many has compiled code worth keeping, in requests. */
const SERVED = 100;
/** The beat that may find a worker idle: the one before is sent as soon as it is ready. */
const FIRST = 2;
/** A larger heap was collected while it grew; and it would stop the worker for long, 3 ms for each MiB. In bytes. */
const LARGE = 24 * 2 ** 20;

export interface IdleMemory {
  /** Called once, when the worker has served: it is to keep V8 from collecting at rest, which this collection may bring about. */
  onServing(): void;
  /** In place of asking V8. */
  collect?(): void;
}

/**
 * Has V8 collect a small heap once, at the first beat at which that delays nobody. Larger ones are V8's own business,
 * which collects them bit by bit while there is little to do.
 *
 * @returns what is to be told of each beat.
 */
export function tendHeap({
  onServing,
  collect = collectEverything,
}: IdleMemory): (beat: Pick<Beat, 'requests' | 'inFlight' | 'heap'>) => void {
  let beats = 0;
  let hasServed = false;
  let isDone = false;
  return ({ requests, inFlight, heap }) => {
    if (hasServed) return;
    if (requests >= SERVED) {
      hasServed = true;
      onServing();
      return;
    }
    if (isDone || ++beats < FIRST || inFlight > 0) return;
    isDone = true;
    if (heap <= LARGE) collect();
  };
}

function collectEverything(): void {
  const { setFlagsFromString } = process.getBuiltinModule('node:v8');
  const isExposed = 'gc' in globalThis;
  setFlagsFromString('--expose-gc');
  // Not the app's own `gc`, which may be anything.
  const gc: NodeJS.GCFunction = process.getBuiltinModule('node:vm').runInNewContext('gc');
  if (!isExposed) setFlagsFromString('--no-expose-gc');
  // Any other kind gives no memory back to the system.
  gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
