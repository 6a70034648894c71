/**
 * How much memory a server takes: some seconds after its start, and after some thousand requests. All are started anew in
 * every round.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Entry, Measurement } from '../experiment.ts';
import { trickle } from '../load/trickle.ts';
import type { Metric, Running } from '../model.ts';
import { hasProc, memoryParts, residentMemory } from '../proc.ts';
import { withLive } from '../site.ts';
import { HAS_ENDED, RowBuilder } from './row-builder.ts';

/** How long all are left alone after the start of the last, in milliseconds: fasticorn gives memory back after one second. */
const SETTLE = 2_000;
/** How long each gets requests, in milliseconds. */
const LOADED = 1_500;
const MIB = 2 ** 20;

const metrics: readonly Metric[] = [
  { id: 'total', title: 'All processes', unit: 'MiB', better: 'lower' },
  { id: 'rss', title: 'Total (RSS)', unit: 'MiB', better: 'lower' },
  { id: 'arbiter', title: 'Arbiter (RSS)', unit: 'MiB', better: 'lower' },
  { id: 'worker', title: 'Worker (RSS)', unit: 'MiB', better: 'lower' },
  { id: 'totalLoaded', title: 'All processes after load', unit: 'MiB', better: 'lower' },
  { id: 'workerLoaded', title: 'Worker (RSS) after load', unit: 'MiB', better: 'lower' },
];

export const memory: Measurement = {
  metrics,
  missing: () => (hasProc ? undefined : 'memory of processes is in /proc, which is Linux only'),
  estimate: ({ rounds, entries }) => rounds * (entries.length * 2.3 + SETTLE / 1000),
  async measure(experiment, bench) {
    const rows = new Map<Entry, RowBuilder>();
    for (let round = 0; round < experiment.rounds; round++) {
      await withLive(experiment, bench, async (live) => {
        bench.progress(`round ${round + 1} of ${experiment.rounds}`);
        await sleep(SETTLE);
        const idle = live.map(({ running }) => memoryOf(running));
        for (const [index, one] of live.entries()) {
          const { lost } = await trickle(one.site.endpoint, AbortSignal.timeout(LOADED));
          const [before, loaded] = [idle[index], memoryOf(one.running)];
          const row = rows.get(one.entry) ?? new RowBuilder(one, metrics);
          rows.set(one.entry, row);
          row.fillUp(round);
          row.errors += lost.length;
          if (before && loaded) {
            row.add({ ...before, totalLoaded: loaded.total, workerLoaded: loaded.worker });
          } else {
            row.miss();
            bench.absent(`${experiment.id}: ${one.entry.id}`, HAS_ENDED);
          }
        }
      });
      // Those that did not come up this time: rounds of different rows are to be paired.
      for (const row of rows.values()) row.fillUp(round + 1);
    }
    return experiment.entries.flatMap((entry) => rows.get(entry)?.row() ?? []);
  },
};

/** In MiB; undefined if a process has ended. */
function memoryOf(running: Running) {
  const processes = running.processes().map(({ pid, role }) => ({ pid, role, rss: residentMemory(pid) }));
  const known = processes.flatMap(({ role, rss }) => (rss === undefined ? [] : [{ role, rss: rss / MIB }]));
  if (known.length < processes.length) return undefined;
  const resident = (wanted: 'arbiter' | 'worker') =>
    known.filter(({ role }) => role === wanted).map(({ rss }) => rss);
  const [arbiters, workers] = [resident('arbiter'), resident('worker')];
  const parts = processes.map(({ pid }) => memoryParts(pid)).filter((one) => one !== undefined);
  const own = sum(parts.map((part) => part.own));
  // What they share counted once. Not PSS: that divides the pages of a program among all servers that it runs.
  const shared = Math.max(0, ...parts.map((part) => part.shared));
  return {
    // If the system tells.
    total: parts.length === processes.length ? (own + shared) / MIB : undefined,
    rss: sum(arbiters) + sum(workers),
    arbiter: arbiters.length > 0 ? sum(arbiters) : undefined,
    worker: workers.length > 0 ? sum(workers) / workers.length : undefined,
  };
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);
