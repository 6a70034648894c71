/** What servers do while nobody asks anything of them: how often they are woken, and the CPU time that this takes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Measurement } from '../experiment.ts';
import type { Metric, Running } from '../model.ts';
import { hasProc, sleeps } from '../proc.ts';
import { withLive } from '../site.ts';
import { RowBuilder } from './row-builder.ts';
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
        const before = live.map(({ running }) => ({
          sleeps: sleepsOf(running),
          used: countUsage(running.processes),
        }));
        const begin = performance.now();
        await sleep(experiment.seconds * 1000);
        const seconds = (performance.now() - begin) / 1000;
        for (const [index, { running }] of live.entries()) {
          const [now, then] = [sleepsOf(running), before[index]!];
          const usage = then.used();
          rows[index]!.add({
            total: (now.total - then.sleeps.total) / seconds,
            arbiter: now.arbiter === undefined ? null : (now.arbiter - (then.sleeps.arbiter ?? 0)) / seconds,
            cpu: usage && (usage.total / 1000 / seconds) * 60,
          });
        }
      }
      return rows.map((row) => row.row());
    }),
};

/** So far. */
function sleepsOf(running: Running): { total: number; arbiter: number | undefined } {
  const counts = running.processes().map(({ pid, role }) => ({ role, count: sleeps(pid) }));
  const arbiters = counts.filter(({ role }) => role === 'arbiter');
  const sum = (of: typeof counts) => of.reduce((total, { count }) => total + count, 0);
  return { total: sum(counts), arbiter: arbiters.length > 0 ? sum(arbiters) : undefined };
}
