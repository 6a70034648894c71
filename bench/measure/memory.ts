/** How much memory a server takes: soon after its start, and after some thousand requests. Started anew in every round. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Entry, Measurement } from '../experiment.ts';
import { trickle } from '../load/trickle.ts';
import type { Metric, Running } from '../model.ts';
import { hasProc, proportionalMemory, residentMemory } from '../proc.ts';
import { withLive } from '../site.ts';
import { RowBuilder } from './row-builder.ts';

/** How long servers are left alone after the start of the last, in milliseconds: fasticorn gives memory back after one second. */
const SETTLE = 2_000;
/** How long each gets requests, in milliseconds. */
const LOADED = 1_500;
const MIB = 2 ** 20;

const metrics: readonly Metric[] = [
  { id: 'pss', title: 'Total (PSS)', unit: 'MiB', better: 'lower' },
  { id: 'rss', title: 'Total (RSS)', unit: 'MiB', better: 'lower' },
  { id: 'arbiter', title: 'Arbiter (RSS)', unit: 'MiB', better: 'lower' },
  { id: 'worker', title: 'Worker (RSS)', unit: 'MiB', better: 'lower' },
  { id: 'pssLoaded', title: 'Total (PSS) after load', unit: 'MiB', better: 'lower' },
  { id: 'workerLoaded', title: 'Worker (RSS) after load', unit: 'MiB', better: 'lower' },
];

export const memory: Measurement = {
  metrics,
  missing: () => (hasProc ? undefined : 'memory of processes is in /proc, which is Linux only'),
  estimate: ({ rounds }) => rounds * 2.5,
  async measure(experiment, bench) {
    const rows = new Map<Entry, RowBuilder>();
    for (let round = 0; round < experiment.rounds; round++) {
      await withLive(experiment, bench, async (live) => {
        bench.progress(`round ${round + 1} of ${experiment.rounds}`);
        await sleep(SETTLE);
        const idle = live.map(({ running }) => memoryOf(running));
        for (const [index, one] of live.entries()) {
          await trickle(one.site.endpoint, AbortSignal.timeout(LOADED));
          const loaded = memoryOf(one.running);
          const row = rows.get(one.entry) ?? new RowBuilder(one, metrics);
          rows.set(one.entry, row);
          row.add({ ...idle[index], pssLoaded: loaded.pss, workerLoaded: loaded.worker });
        }
      });
    }
    return experiment.entries.flatMap((entry) => rows.get(entry)?.row() ?? []);
  },
};

/** In MiB; undefined if the system does not tell, or there is no such process. */
function memoryOf(running: Running) {
  const processes = running.processes();
  const pids = processes.map(({ pid }) => pid);
  const resident = (role: 'arbiter' | 'worker') =>
    processes.filter((one) => one.role === role).map(({ pid }) => residentMemory(pid) / MIB);
  const [arbiters, workers] = [resident('arbiter'), resident('worker')];
  const proportional = pids.map(proportionalMemory).filter((one) => one !== undefined);
  return {
    pss: proportional.length === pids.length ? sum(proportional) / MIB : undefined,
    rss: sum(arbiters) + sum(workers),
    arbiter: arbiters.length > 0 ? sum(arbiters) : undefined,
    worker: sum(workers) / workers.length,
  };
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);
