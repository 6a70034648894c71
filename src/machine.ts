/**
 * Finds out what the defaults of the settings depend on: the CPUs of this process. The settings
 * themselves only see the result, a `Machine`.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { Machine } from './config/settings.ts';

/** Returns the text of a file, or undefined if it cannot be read. */
export type ReadFile = (path: string) => string | undefined;

/** Looks at this process's machine. Never throws: what cannot be read is no limit. */
export function machine(): Machine {
  const quota = quotaOf(readIfThere) ?? Number.POSITIVE_INFINITY;
  return { cpus: cpusWithin(availableParallelism(), quota) };
}

/** Whole CPUs to use, given the `available` ones and a quota in CPUs: part of a CPU counts as one. */
export function cpusWithin(available: number, quota: number): number {
  return Math.min(available, Math.ceil(quota));
}

/**
 * The CPU time that the cgroups of this process (v2 or v1) allow it, in CPUs such as 1.5; undefined without a limit.
 *
 * Node 20 does not count this in `availableParallelism`, so `docker run --cpus 2` would get a worker for every CPU of
 * the host.
 */
export function quotaOf(readFile: ReadFile): number | undefined {
  const quotas: number[] = [];
  for (const line of readFile('/proc/self/cgroup')?.split('\n') ?? []) {
    const [, id, controllers = '', path = ''] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
    if (id === '0') {
      for (const folder of upwards('/sys/fs/cgroup', path)) {
        const [quota, period] = readFile(`${folder}/cpu.max`)?.trim().split(' ') ?? [];
        quotas.push(ratio(quota, period));
      }
    } else if (controllers.split(',').includes('cpu')) {
      for (const folder of upwards('/sys/fs/cgroup/cpu', path)) {
        quotas.push(ratio(readFile(`${folder}/cpu.cfs_quota_us`), readFile(`${folder}/cpu.cfs_period_us`)));
      }
    }
  }
  const least = Math.min(...quotas);
  return Number.isFinite(least) ? least : undefined;
}

/**
 * The folder of a cgroup and those of its parents, whose limits hold too. In a container the path may be the host's,
 * which does not exist there: then the root, which always comes last, has the container's limit.
 */
function upwards(root: string, path: string): string[] {
  const names = path.split('/').filter((name) => name !== '');
  return Array.from({ length: names.length + 1 }, (_, up) =>
    [root, ...names.slice(0, names.length - up)].join('/'),
  );
}

/** Infinity for `max`, `-1`, and anything else that is not a limit. */
function ratio(quota: string | undefined, period: string | undefined): number {
  const cpus = Number(quota) / Number(period);
  return cpus > 0 ? cpus : Number.POSITIVE_INFINITY;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
