/** What servers do while nobody asks anything of them: how often they are woken, and the CPU time that this takes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Measurement } from '../experiment.ts';
import type { Metric } from '../model.ts';
import { cpuTime, hasProc, sleeps } from '../proc.ts';
import { withLive } from '../site.ts';
import { HAS_ENDED, RowBuilder } from './row-builder.ts';
import { countUsage } from './usage.ts';

/** How long servers are left alone after their start, in seconds: V8 tidies up for a while. */
const SETTLE = 6;

const metrics: readonly Metric[] = [
  { id: 'total', title: 'Wakeups/s', unit: '', better: 'lower' },
  { id: 'arbiter', title: 'of the arbiter', unit: '', better: 'lower' },
  { id: 'cpu', title: 'CPU, ms per minute', unit: 'ms', better: 'lower' },
];

export const wakeups: Measurement = {
  metrics,
  missing: () => (hasProc ? undefined : 'wakeups of processes are in /proc, which is Linux only'),
  // All at once.
  estimate: ({ rounds, seconds, entries }) => 1.5 * entries.length + SETTLE + rounds * seconds,
  measure: (experiment, bench) =>
    withLive(experiment, bench, async (live) => {
      await sleep(SETTLE * 1000);
      const rows = live.map((one) => new RowBuilder(one, metrics));
      for (let round = 0; round < experiment.rounds; round++) {
        bench.progress(`round ${round + 1} of ${experiment.rounds}`);
        const used = live.map(({ running }) => ({
          sleeps: countUsage(running.processes, sleeps),
          time: countUsage(running.processes, cpuTime),
        }));
        const begin = performance.now();
        await sleep(experiment.seconds * 1000);
        const seconds = (performance.now() - begin) / 1000;
        for (const [index, { entry }] of live.entries()) {
          const [woken, time] = [used[index]!.sleeps(), used[index]!.time()];
          if (woken === undefined) {
            rows[index]!.miss();
            bench.absent(`${experiment.id}: ${entry.id}`, HAS_ENDED);
            continue;
          }
          rows[index]!.add({
            total: woken.total / seconds,
            arbiter: woken.arbiter && woken.arbiter / seconds,
            cpu: time && (time.total / 1000 / seconds) * 60,
          });
        }
      }
      return rows.map((row) => row.row());
    }),
};
