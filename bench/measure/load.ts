/**
 * Servers under load: how many requests a second, how long each takes, and what it costs. All servers run all the
 * time, and have their turn in every round.
 */
import type { Bench, Entry, Experiment, Measurement } from '../experiment.ts';
import { answers, type Launched } from '../launch.ts';
import { check } from '../load/check.ts';
import { h2load, h2loadVersion } from '../load/h2load.ts';
import { cannotHold, holdIdle } from '../load/idle.ts';
import { type Front, startProxy } from '../load/proxy.ts';
import type { Endpoint, Metric, Row, Workload } from '../model.ts';
import { nginxVersion } from '../nginx.ts';
import { newDirectory } from '../scratch.ts';
import { emptyLogs, freePort, type Live, rotated, withLive } from '../site.ts';
import { workloadOf } from '../workloads/index.ts';
import { RowBuilder } from './row-builder.ts';
import { countUsage, imbalance } from './usage.ts';

/**
 * How many slices are the warm-up: until compilers have done most of their work, for which two workers on a CPU need some
 * seconds; where slices are long, fewer are enough. One of that length would not do: that its connections end is code as
 * well, for which V8 compiled anew in the first round.
 */
const warmUps = (seconds: number) => Math.min(5, Math.ceil(3.5 / seconds));
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
}

export const load: Measurement = {
  metrics,
  missing: () =>
    h2loadVersion() ? undefined : 'h2load is not installed (Debian: apt-get install nghttp2-client)',
  estimate: ({ rounds, seconds }) => 1 + (warmUps(seconds) + rounds) * seconds,
  measure: async (experiment, bench) => {
    const entries = experiment.entries.filter((entry) => {
      const why = obstacle(entry);
      if (why) bench.absent(`${experiment.id}: ${entry.id}`, why);
      return !why;
    });
    return withLive({ ...experiment, entries }, bench, (live) => measureLive(live, experiment, bench));
  },
};

/** What keeps a row from being measured here, besides its server. */
function obstacle({ path, idle }: Entry): string | undefined {
  if (path.startsWith('nginx') && !nginxVersion()) return 'nginx is not installed';
  return idle === undefined ? undefined : cannotHold(idle);
}

async function measureLive(live: readonly Live[], experiment: Experiment, bench: Bench): Promise<Row[]> {
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
      const target = { ...one, workload, to, row: new RowBuilder(one, metrics) };
      try {
        if (front) await check(to, workload);
        if (entry.idle !== undefined) {
          const idle = { cpus: bench.cpus.load, directory: newDirectory() };
          helpers.push(await holdIdle(entry.idle, site.endpoint, idle));
        }
        bench.progress(`warming up ${entry.id}`);
        for (let i = 0; i < warmUps(experiment.seconds) && target.row.errors === 0; i++) {
          const { errors } = await slice(target, experiment.seconds, { bench, proxy });
          target.row.errors += errors;
        }
        targets.push(target);
      } catch (error) {
        drop(target, error);
      }
    }

    for (let round = 0; round < experiment.rounds; round++) {
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
          target.row.errors++;
          target.row.add({});
        }
      }
    }
    return targets.map(({ row }) => row.row());
  } finally {
    await Promise.all(helpers.map((helper) => helper.stop()));
  }
}

/** Loads one server for a while. */
async function slice(
  { entry, site, running, workload, to }: Target,
  seconds: number,
  { bench, proxy }: { bench: Bench; proxy: Launched | undefined },
) {
  emptyLogs(site);
  const used = countUsage(running.processes);
  const proxies = () => (proxy ? [proxy.pid, ...proxy.descendants()] : []);
  const usedByProxy = countUsage(() => proxies().map((pid) => ({ pid, role: 'worker' })));
  const { connections, rate } = entry;
  const begin = performance.now();
  const outcome = await h2load({
    ...{ endpoint: to, workload, connections, seconds },
    ...{ cpus: bench.cpus.load, directory: newDirectory() },
    ...(rate === undefined ? {} : { rate }),
  });
  const elapsed = (performance.now() - begin) * 1000;
  const [usage, proxyUsage] = [used(), usedByProxy()];
  // h2load does not say that a server has gone.
  const isGone = !(await answers(site.endpoint));
  const busy = outcome.busy ?? 0;
  const share = (busy + (proxyUsage?.total ?? 0) / elapsed) / bench.cpus.load.length;
  return {
    errors: outcome.errors + (isGone ? 1 : 0),
    // Of one CPU, as h2load has one thread; of all, as nginx needs its part of them.
    limitedByLoad: busy > BUSY || share > BUSY,
    figures: {
      ...outcome,
      cpu: usage && outcome.answers > 0 ? usage.total / outcome.answers : null,
      arbiter: usage?.arbiter === undefined ? null : (usage.arbiter / usage.total) * 100,
      imbalance: usage && imbalance(usage),
    },
  };
}
