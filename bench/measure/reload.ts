/**
 * Workers are replaced under a light load, through nginx with its pool if there is one: how long that takes, and what
 * is lost of the requests, POSTs among them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench, Measurement } from '../experiment.ts';
import { type Front, startProxy } from '../load/proxy.ts';
import { type Trickled, trickle } from '../load/trickle.ts';
import type { Endpoint, Metric } from '../model.ts';
import { nginxVersion } from '../nginx.ts';
import { isAlive } from '../proc.ts';
import { newDirectory } from '../scratch.ts';
import { freePort, type Live, rotated, withLive } from '../site.ts';
import { RowBuilder } from './row-builder.ts';

/** How long requests come before a reload, and after it, in milliseconds. */
const AROUND = 700;
/** How long old workers may take to go once new ones serve, in seconds. */
const LIMIT = 60;

const metrics: readonly Metric[] = [
  { id: 'switched', title: 'Only new workers answer after', unit: 's', better: 'lower' },
  { id: 'done', title: 'Old workers gone after', unit: 's', better: 'lower' },
  { id: 'start', title: 'Its start took', unit: 's', better: 'lower' },
  { id: 'lost', title: 'Requests lost', unit: '', better: 'lower' },
  { id: 'sent', title: 'of requests sent', unit: '', better: 'higher' },
];

export const reload: Measurement = {
  metrics,
  missing: () => undefined,
  estimate: ({ rounds, entries }) => entries.length * (1.5 + rounds * 2.5),
  measure: (experiment, bench) =>
    withLive(experiment, bench, async (all) => {
      const live = all.filter(({ entry, running }) => {
        if (!running.reload) bench.absent(`${experiment.id}: ${entry.id}`, 'it cannot replace its workers');
        return running.reload;
      });
      const { targets, stop } = await behindNginx(live, bench);
      try {
        const rows = live.map((one) => new RowBuilder(one, metrics));
        for (let round = 0; round < experiment.rounds; round++) {
          bench.progress(`round ${round + 1} of ${experiment.rounds}`);
          for (const index of rotated([...live.keys()], round)) {
            const [one, row] = [live[index]!, rows[index]!];
            try {
              row.add(await reloadOnce(one, targets[index]!));
            } catch (error) {
              row.miss();
              bench.absent(`${experiment.id}: ${one.entry.id}`, (error as Error).message);
            }
          }
        }
        return rows.map((row) => row.row());
      } finally {
        await stop();
      }
    }),
};

/** Where requests go for each server. */
async function behindNginx(live: readonly Live[], { cpus, absent }: Bench) {
  if (!nginxVersion()) {
    absent('reload behind nginx', 'nginx is not installed; requests go straight to the server');
    return { targets: live.map(({ site }) => site.endpoint), stop: async () => {} };
  }
  const fronts: Front[] = [];
  for (const { site } of live) {
    fronts.push({ port: await freePort(), path: 'nginx-keepalive', server: site.endpoint });
  }
  const nginx = await startProxy(fronts, { cpus: cpus.load, directory: newDirectory() });
  const targets = fronts.map(({ port }): Endpoint => ({ kind: 'tcp', port }));
  return { targets, stop: () => nginx.stop() };
}

async function reloadOnce({ running, startTook }: Live, to: Endpoint) {
  const enough = new AbortController();
  const load = trickle(to, enough.signal);
  try {
    await sleep(AROUND);
    const old = running.processes().filter(({ role }) => role === 'worker');
    const begin = performance.now();
    await running.reload!();
    // Where threads of one process are replaced nobody sees them go.
    const isThreaded = running.processes().length === 1;
    if (!isThreaded) await untilGone(old);
    const done = performance.now();
    await sleep(AROUND);
    enough.abort();
    const trickled = await load;
    return {
      switched: isThreaded ? null : switchedAfter(trickled, old, begin),
      done: isThreaded ? null : (done - begin) / 1000,
      // Once for all rounds.
      start: startTook,
      lost: trickled.lost.length,
      sent: trickled.sent,
    };
  } finally {
    enough.abort();
    await load;
  }
}

/** @throws Error if that takes too long. */
async function untilGone(old: readonly { pid: number }[]): Promise<void> {
  const deadline = performance.now() + LIMIT * 1000;
  while (old.some(({ pid }) => isAlive(pid))) {
    if (performance.now() > deadline) throw new Error(`old workers have not gone after ${LIMIT} s`);
    await sleep(10);
  }
}

/** When the last of the old workers answered, in seconds. */
function switchedAfter({ lastAnswer }: Trickled, old: readonly { pid: number }[], begin: number): number {
  const last = Math.max(begin, ...old.map(({ pid }) => lastAnswer.get(pid) ?? begin));
  return (last - begin) / 1000;
}
