/** What processes use between two moments, by their role: CPU time, or something else that is counted for each. */
import type { Running } from '../model.ts';

/** In the unit of what is counted. */
export interface Usage {
  /** Of all processes. */
  total: number;
  /** Of those that do not run the app; undefined if there are none. */
  arbiter: number | undefined;
  /** Of each of the others. */
  workers: readonly number[];
}

/**
 * Begins to count.
 *
 * @param soFar what a process has used of it; undefined if that is not known.
 * @returns what was used since; undefined if the system does not tell, or a process has ended: what it had used went with it.
 */
export function countUsage(
  processes: Running['processes'],
  soFar: (pid: number) => number | undefined,
): () => Usage | undefined {
  const before = new Map(processes().map(({ pid }) => [pid, soFar(pid)]));
  return () => {
    const now = processes().map(({ pid, role }) => ({ pid, role, count: soFar(pid) }));
    const here = new Set(now.map(({ pid }) => pid));
    if (![...before.keys()].every((pid) => here.has(pid))) return undefined;
    const used = now.flatMap(({ pid, role, count }) =>
      count === undefined ? [] : [{ role, count: count - (before.get(pid) ?? 0) }],
    );
    if (used.length < now.length) return undefined;
    const countsOf = (wanted: 'arbiter' | 'worker') =>
      used.filter(({ role }) => role === wanted).map(({ count }) => count);
    const [arbiters, workers] = [countsOf('arbiter'), countsOf('worker')];
    return {
      total: sum(arbiters) + sum(workers),
      arbiter: arbiters.length > 0 ? sum(arbiters) : undefined,
      workers,
    };
  };
}

/** How the busiest of several workers is to their average: 1 if all are alike; undefined for less than two. */
export function imbalance({ workers }: Usage): number | undefined {
  const all = sum(workers);
  return workers.length > 1 && all > 0 ? (Math.max(...workers) / all) * workers.length : undefined;
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);
