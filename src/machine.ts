/**
 * Finds out what the defaults of the settings depend on: the CPUs and the memory of this process. The settings
 * themselves only see the result, a `Machine`.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import type { Machine } from './config/settings.ts';

/** Returns the text of a file, or undefined if it cannot be read. */
export type ReadFile = (path: string) => string | undefined;

/** Looks at this process's machine. Never throws: what cannot be read is no limit. */
export function machine(): Machine {
  const quota = quotaOf(readIfThere) ?? Number.POSITIVE_INFINITY;
  return {
    cpus: cpusWithin(availableParallelism(), quota),
    memory: memoryWithin(totalmem(), memoryLimitOf(readIfThere)),
  };
}

/** Whole CPUs to use, given the `available` ones and a quota in CPUs: part of a CPU counts as one. */
export function cpusWithin(available: number, quota: number): number {
  return Math.min(available, Math.ceil(quota));
}

/** A limit in bytes, or undefined where it allows as much as there is. */
export function memoryWithin(total: number, limit: number | undefined): number | undefined {
  return limit !== undefined && limit < total ? limit : undefined;
}

/**
 * The CPU time that the cgroups of this process (v2 or v1) allow it, in CPUs such as 1.5; undefined without a limit.
 *
 * Node 20 does not count this in `availableParallelism`, so `docker run --cpus 2` would get a worker for every CPU of
 * the host.
 */
export function quotaOf(readFile: ReadFile): number | undefined {
  return least(
    foldersOf('cpu', readFile).map(({ version, folder }) => {
      if (version === 1)
        return ratio(readFile(`${folder}/cpu.cfs_quota_us`), readFile(`${folder}/cpu.cfs_period_us`));
      const [quota, period] = readFile(`${folder}/cpu.max`)?.trim().split(' ') ?? [];
      return ratio(quota, period);
    }),
  );
}

/**
 * The memory that the cgroups of this process (v2 or v1) allow it, in bytes; undefined without a limit. What a group
 * may not exceed for long (`memory.high`) counts as well: it would be slowed down to a crawl.
 */
export function memoryLimitOf(readFile: ReadFile): number | undefined {
  return least(
    foldersOf('memory', readFile).flatMap(({ version, folder }) =>
      (version === 1 ? ['memory.limit_in_bytes'] : ['memory.max', 'memory.high']).map((name) =>
        ratio(readFile(`${folder}/${name}`), '1'),
      ),
    ),
  );
}

/** The folders of the cgroups whose limits hold for this process, by the controller that limits. */
function foldersOf(controller: string, readFile: ReadFile): { version: 1 | 2; folder: string }[] {
  const lines = readFile('/proc/self/cgroup')?.split('\n') ?? [];
  return lines.flatMap((line): { version: 1 | 2; folder: string }[] => {
    const [, id, controllers = '', path = ''] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
    if (id === '0') return upwards('/sys/fs/cgroup', path).map((folder) => ({ version: 2, folder }));
    if (!controllers.split(',').includes(controller)) return [];
    return upwards(`/sys/fs/cgroup/${controller}`, path).map((folder) => ({ version: 1, folder }));
  });
}

/** Undefined if there is no limit among these. */
function least(limits: readonly number[]): number | undefined {
  const limit = Math.min(...limits);
  return Number.isFinite(limit) ? limit : undefined;
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
  const limit = Number(quota) / Number(period);
  return limit > 0 ? limit : Number.POSITIVE_INFINITY;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
