/**
 * How large the heap of a worker may grow where memory is limited. Pure; what the limit is comes from `machine.ts`.
 */

const MIB = 1024 * 1024;

/** What the arbiter needs itself. */
const ARBITER = 64 * MIB;
/** The old generation's share of a worker's memory, as Node's documentation suggests: 1.5 GiB of a machine's 2 GiB. */
const OLD_GENERATION = 0.75;
/** With less an app would not even start; the operator's number of workers is too large for the limit then. */
const LEAST = 64 * MIB;

/**
 * The --max-old-space-size of each worker, in MiB: its share of what the arbiter leaves, less a quarter for new objects,
 * buffers, code and Node itself. Undefined where V8's own limit is no higher, and so needs no flag.
 *
 * @param memory what arbiter and workers have together, in bytes; undefined without a limit.
 * @param ownLimit the limit that V8 chooses by itself on this machine, in bytes: it counts on one process in the cgroup. Asked
 * only where memory is limited.
 */
export function heapLimit(
  memory: number | undefined,
  workers: number,
  ownLimit: () => number,
): number | undefined {
  if (memory === undefined) return undefined;
  const share = Math.max(LEAST, ((memory - ARBITER) / workers) * OLD_GENERATION);
  return share < ownLimit() ? Math.floor(share / MIB) : undefined;
}

/** What the log says about that. */
export function heapNote(limit: number, memory: number, workers: number): string {
  return (
    `the heap of each worker is limited to ${limit} MiB (--max-old-space-size): ` +
    `memory is limited to ${Math.round(memory / MIB)} MiB, for ${workers === 1 ? '1 worker' : `${workers} workers`}`
  );
}
