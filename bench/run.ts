/** Measures experiments one after the other, and keeps a list of what could not be measured. */
import { sharesOf } from './cpus.ts';
import type { Experiment, Kind, Measurement } from './experiment.ts';
import { canPin } from './launch.ts';
import { load } from './measure/load.ts';
import { memory } from './measure/memory.ts';
import { reload } from './measure/reload.ts';
import { startup } from './measure/startup.ts';
import { wakeups } from './measure/wakeups.ts';
import type { Measured, Metric, Results, Server } from './model.ts';
import type { Options } from './options.ts';
import { settingOf } from './setting.ts';

/** By kind. */
export const measurements: Readonly<Record<Kind, Measurement>> = { load, startup, memory, wakeups, reload };

/** What is to be measured, of all that could be, with rounds and seconds as they are to be; baselines stay. */
export function chosen(all: readonly Experiment[], options: Options): Experiment[] {
  const { full, only, servers } = options;
  return all
    .filter(({ id, quick }) => (only ? only.includes(id) : full || quick))
    .map((experiment) => {
      const { entries, baseline, quick, rounds, seconds, starts = 1 } = experiment;
      const rows = full || only ? entries : entries.filter(({ id }) => quick?.rows.includes(id));
      return {
        ...experiment,
        entries: rows.filter(({ id, server }) => !servers || servers.includes(server) || id === baseline),
        rounds: options.rounds ?? (full ? rounds : (quick?.rounds ?? rounds)),
        // A quick run has no time for more.
        starts: full || only ? starts : 1,
        // Those that have no slices have 0.
        seconds: seconds && (options.seconds ?? seconds),
      };
    })
    .filter(({ entries }) => !servers || entries.some(({ server }) => servers.includes(server)));
}

/** About how long it all takes, in seconds. */
export function estimate(experiments: readonly Experiment[]): number {
  return experiments
    .filter(({ kind }) => !measurements[kind].missing())
    .map((one) => measurements[one.kind].estimate(one))
    .reduce((sum, one) => sum + one, 0);
}

/** Measures. A server that fails is told among the absent, and an experiment that fails as well. */
export async function run(
  experiments: readonly Experiment[],
  servers: readonly Server[],
  progress: (text: string) => void,
): Promise<Pick<Results, 'absent' | 'measured'>> {
  const absent = new Map<string, string>();
  const measured: Measured[] = [];
  if (!canPin) absent.set('pinning to CPUs', 'taskset is not installed; all share all of them');
  for (const experiment of experiments) {
    const { id, kind, title, baseline, layout, starts = 1 } = experiment;
    const measurement = measurements[kind];
    const cpus = sharesOf(layout);
    const why = measurement.missing();
    if (why) {
      absent.set(id, why);
      continue;
    }
    const bench = {
      servers,
      cpus,
      progress: (text: string) => progress(`${id}: ${text}`),
      // The first reason is the one that matters.
      absent: (what: string, reason: string) => {
        if (!absent.has(what)) absent.set(what, reason);
      },
    };
    try {
      const rows = await measurement.measure(experiment, bench);
      const metrics = mainFirst(measurement.metrics, experiment.main);
      measured.push({
        ...{ id, title, setting: settingOf(experiment, cpus) },
        ...(starts > 1 ? { starts } : {}),
        ...{ baseline, metrics, rows },
      });
    } catch (error) {
      absent.set(id, (error as Error).message);
    }
  }
  return { absent: [...absent].map(([what, reason]) => ({ what, why: reason })), measured };
}

function mainFirst(metrics: readonly Metric[], main: string | undefined): Metric[] {
  return [...metrics].sort((a, b) => Number(b.id === main) - Number(a.id === main));
}
