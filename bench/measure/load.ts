/**
 * Servers under load: how many requests a second, how long each takes, and what it costs. All servers run all the
 * time, or are started anew some times, and have their turn in every round.
 */
import type { Bench, Entry, Experiment, Measurement } from '../experiment.ts';
import { answers, type Launched } from '../launch.ts';
import { check } from '../load/check.ts';
import { h2load, h2loadVersion, threadsFor } from '../load/h2load.ts';
import { cannotHold, holdIdle } from '../load/idle.ts';
import { type Front, startProxy } from '../load/proxy.ts';
import type { Endpoint, Metric, Workload } from '../model.ts';
import { nginxVersion } from '../nginx.ts';
import { cpuTime, isAlive } from '../proc.ts';
import { newDirectory } from '../scratch.ts';
import { emptyLogs, freePort, type Live, rotated, withLive } from '../site.ts';
import { portions } from '../statistics.ts';
import { workloadOf } from '../workloads/index.ts';
import { RowBuilder } from './row-builder.ts';
import { countUsage, imbalance } from './usage.ts';

/** How many slices are the warm-up at most, for each worker: where they are short it is shorter. */
const MOST_WARM_UPS = 5;
/** The load side is the limit from this part of its CPUs on. */
const BUSY = 0.9;

const metrics: readonly Metric[] = [
  { id: 'rate', title: 'Requests/s', unit: '', better: 'higher' },
  { id: 'p50', title: 'p50', unit: 'ms', better: 'lower' },
  { id: 'p99', title: 'p99', unit: 'ms', better: 'lower' },
  { id: 'p999', title: 'p99.9', unit: 'ms', better: 'lower' },
  { id: 'cpu', title: 'CPU/request', unit: 'µs', better: 'lower' },
  { id: 'arbiter', title: "Arbiter's share of that", unit: '%', better: 'lower' },
  { id: 'imbalance', title: 'Busiest worker / average', unit: '', better: 'lower' },
];

/** A row that can be loaded. */
interface Target extends Live {
  workload: Workload;
  /** Where the load goes: to the server, or to nginx. */
  to: Endpoint;
  row: RowBuilder;
  /** An empty directory for the load generator. */
  scratch: string;
  /** Holds the idle connections, if there are to be any. */
  holder: Launched | undefined;
}

export const load: Measurement = {
  metrics,
  missing: () =>
    h2loadVersion() ? undefined : 'h2load is not installed (Debian: apt-get install nghttp2-client)',
  estimate: (experiment) => {
    const { rounds, seconds, starts = 1, entries } = experiment;
    const warmUp = entries.reduce((sum, entry) => sum + warmUps(entry, experiment), 0) * seconds;
    return starts * (entries.length + warmUp) + rounds * entries.length * seconds;
  },
  measure: async (experiment, bench) => {
    let entries = experiment.entries.filter((entry) => {
      const why = obstacle(entry);
      if (why) bench.absent(`${experiment.id}: ${entry.id}`, why);
      return !why;
    });
    const rows = new Map<Entry, RowBuilder>();
    for (const rounds of portions(experiment.rounds, experiment.starts ?? 1)) {
      await withLive({ ...experiment, entries }, bench, (live) =>
        measureLive(live, { experiment, rounds, rows }, bench),
      );
      entries = entries.filter((entry) => rows.has(entry));
      // One that did not come up this time: rounds of different rows are to be paired.
      for (const entry of entries) rows.get(entry)!.fillUp(rounds.at(-1)! + 1);
    }
    return entries.map((entry) => rows.get(entry)!.row());
  },
};

/**
 * How many slices a row is warmed up for. A single one of that length would not do: that connections end is code as well,
 * for which V8 compiled anew in the first round.
 */
function warmUps({ workers }: Entry, { seconds, warmUp = 0 }: Experiment): number {
  return Math.min(MOST_WARM_UPS * workers, Math.ceil((warmUp * workers) / seconds));
}

/** What keeps a row from being measured here, besides its server. */
function obstacle({ path, idle }: Entry): string | undefined {
  if (path.startsWith('nginx') && !nginxVersion()) return 'nginx is not installed';
  return idle === undefined ? undefined : cannotHold(idle);
}

/** The rounds that servers have from one start. */
interface Part {
  experiment: Experiment;
  rounds: readonly number[];
  /** Those that were measured from the first start on; filled by that. */
  rows: Map<Entry, RowBuilder>;
}

async function measureLive(
  live: readonly Live[],
  { experiment, rounds, rows }: Part,
  bench: Bench,
): Promise<void> {
  const drop = (target: Pick<Live, 'entry'>, error: unknown) =>
    bench.absent(`${experiment.id}: ${target.entry.id}`, (error as Error).message);
  const helpers: Launched[] = [];
  try {
    const fronts = new Map<Entry, Front>();
    for (const { entry, site } of live) {
      if (entry.path === 'unix' || entry.path === 'tcp') continue;
      fronts.set(entry, { port: await freePort(), path: entry.path, server: site.endpoint });
    }
    const directory = newDirectory();
    const proxy =
      fronts.size > 0
        ? await startProxy([...fronts.values()], { cpus: bench.cpus.load, directory })
        : undefined;
    if (proxy) helpers.push(proxy);

    const targets: Target[] = [];
    for (const one of live) {
      const { entry, site } = one;
      const front = fronts.get(entry);
      const to: Endpoint = front ? { kind: 'tcp', port: front.port } : site.endpoint;
      const workload = workloadOf(entry.workload);
      const row = rows.get(entry) ?? new RowBuilder(one, metrics);
      const scratch = newDirectory();
      try {
        if (front) await check(to, workload);
        let holder: Launched | undefined;
        if (entry.idle !== undefined) {
          holder = await holdIdle(entry.idle, site.endpoint, { cpus: bench.cpus.load, directory: scratch });
          helpers.push(holder);
        }
        const target = { ...one, workload, to, row, scratch, holder };
        bench.progress(`warming up ${entry.id}`);
        const before = row.errors;
        for (let i = 0; i < warmUps(entry, experiment) && row.errors === before; i++) {
          const { errors } = await slice(target, experiment.seconds, { bench, proxy });
          row.errors += errors;
        }
        targets.push(target);
        rows.set(entry, row);
      } catch (error) {
        drop(one, error);
      }
    }

    for (const round of rounds) {
      bench.progress(`round ${round + 1} of ${experiment.rounds}`);
      for (const target of rotated(targets, round)) {
        try {
          const { figures, errors, limitedByLoad } = await slice(target, experiment.seconds, {
            bench,
            proxy,
          });
          target.row.errors += errors;
          target.row.add(figures, { limitedByLoad });
        } catch (error) {
          drop(target, error);
          target.row.miss();
        }
      }
    }
  } finally {
    await Promise.all(helpers.map((helper) => helper.stop()));
  }
}

/** Loads one server for a while. */
async function slice(
  { entry, site, running, workload, to, scratch, holder }: Target,
  seconds: number,
  { bench, proxy }: { bench: Bench; proxy: Launched | undefined },
) {
  emptyLogs(site);
  const used = countUsage(running.processes, cpuTime);
  const proxies = () => (proxy ? [proxy.pid, ...proxy.descendants()] : []);
  const usedByProxy = countUsage(() => proxies().map((pid) => ({ pid, role: 'worker' })), cpuTime);
  const { connections, rate } = entry;
  const begin = performance.now();
  const outcome = await h2load({
    endpoint: to,
    workload,
    connections,
    seconds,
    cpus: bench.cpus.load,
    directory: scratch,
    ...(rate === undefined ? {} : { rate }),
  });
  const elapsed = (performance.now() - begin) * 1000;
  const [usage, proxyUsage] = [used(), usedByProxy()];
  // h2load does not say that a server has gone.
  const isGone = !(await answers(site.endpoint));
  if (holder && !isAlive(holder.pid)) throw new Error('a connection that was to be idle was lost');
  const busy = outcome.busy ?? 0;
  const threads = threadsFor({ cpus: bench.cpus.load, connections });
  const share = (busy * threads + (proxyUsage?.total ?? 0) / elapsed) / bench.cpus.load.length;
  return {
    errors: outcome.errors + (isGone ? 1 : 0),
    // Of its threads; of all CPUs, as nginx needs its part of them.
    limitedByLoad: busy > BUSY || share > BUSY,
    figures: {
      ...outcome,
      cpu: usage && outcome.answers > 0 ? usage.total / outcome.answers : null,
      arbiter: usage?.arbiter === undefined ? null : (usage.arbiter / usage.total) * 100,
      imbalance: usage && imbalance(usage),
    },
  };
}
