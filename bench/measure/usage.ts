/** The CPU time that processes use between two moments, by their role. */
import type { Running } from '../model.ts';
import { cpuTime } from '../proc.ts';

/** In microseconds. */
export interface Usage {
  /** Of all processes. */
  total: number;
  /** Of those that do not run the app; undefined if there are none. */
  arbiter: number | undefined;
  /** Of each of the others. */
  workers: readonly number[];
}

/** Begins to count; the function that it returns tells what was used since, or undefined if the system does not. */
export function countUsage(processes: Running['processes']): () => Usage | undefined {
  const before = new Map(processes().map(({ pid }) => [pid, cpuTime(pid)]));
  return () => {
    const used = processes().map(({ pid, role }) => {
      const now = cpuTime(pid);
      return { role, isKnown: now !== undefined, time: (now ?? 0) - (before.get(pid) ?? 0) };
    });
    if (!used.some(({ isKnown }) => isKnown)) return undefined;
    const timesOf = (wanted: 'arbiter' | 'worker') =>
      used.filter(({ role }) => role === wanted).map(({ time }) => time);
    const [arbiters, workers] = [timesOf('arbiter'), timesOf('worker')];
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
