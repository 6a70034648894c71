/** How long a server takes from its start to the first good answer. In every round each is started anew, and stopped. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench, Entry, Measurement } from '../experiment.ts';
import { answers, POLL } from '../launch.ts';
import { check } from '../load/check.ts';
import type { Endpoint, Metric } from '../model.ts';
import { prepare, rotated } from '../site.ts';
import { workloadOf } from '../workloads/index.ts';
import { RowBuilder } from './row-builder.ts';

const metrics: readonly Metric[] = [
  { id: 'answer', title: 'First answer', unit: 'ms', better: 'lower' },
  { id: 'ready', title: 'All workers ready', unit: 'ms', better: 'lower' },
];

export const startup: Measurement = {
  metrics,
  missing: () => undefined,
  estimate: ({ rounds, entries }) => rounds * entries.length * 0.7,
  async measure({ id, entries, rounds }, bench) {
    const rows = new Map<Entry, RowBuilder>();
    const failed = new Set<Entry>();
    for (let round = 0; round < rounds; round++) {
      bench.progress(`round ${round + 1} of ${rounds}`);
      for (const entry of rotated(entries, round)) {
        if (failed.has(entry)) continue;
        try {
          const { server, figures } = await start(entry, bench);
          const row = rows.get(entry) ?? new RowBuilder({ entry, server }, metrics);
          rows.set(entry, row);
          row.add(figures);
        } catch (error) {
          // Not again: it may have taken half a minute.
          failed.add(entry);
          rows.delete(entry);
          bench.absent(`${id}: ${entry.id}`, (error as Error).message);
        }
      }
    }
    return entries.flatMap((entry) => rows.get(entry)?.row() ?? []);
  },
};

async function start(entry: Entry, bench: Bench) {
  const { server, site } = await prepare(entry, bench);
  const over = new AbortController();
  const begin = performance.now();
  const first = firstAnswer(site.endpoint, over.signal);
  try {
    const running = await server.start(site);
    const ready = performance.now() - begin;
    try {
      const answer = (await first) - begin;
      await check(site.endpoint, workloadOf(entry.workload));
      return { server, figures: { answer, ready } };
    } finally {
      await running.stop();
    }
  } finally {
    over.abort();
  }
}

/** When it comes; a server that is ready has given it, so that this takes no longer than a start. */
async function firstAnswer(endpoint: Endpoint, over: AbortSignal): Promise<number> {
  while (!(await answers(endpoint)) && !over.aborted) await sleep(POLL);
  return performance.now();
}
