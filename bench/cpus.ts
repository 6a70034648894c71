/** Which CPUs there are for this process, and who of the benchmark gets which. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { canPin } from './launch.ts';
import type { Layout } from './model.ts';
import { hasProc } from './proc.ts';

const all = hasProc
  ? parseList(/^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0')
  : cpus().map((_, index) => index);

/** Who may use what. */
export interface Shares {
  server: readonly number[];
  load: readonly number[];
}

/** With a single CPU, and where processes cannot be kept to some, all share all. */
export function sharesOf(layout: Layout): Shares {
  if (layout === 'together' || all.length < 2 || !canPin) return { server: all, load: all };
  const half = Math.floor(all.length / 2);
  return { server: all.slice(0, half), load: all.slice(half) };
}

/** Keeps the benchmark itself off the CPUs of the servers. */
export function stepAside(): void {
  if (!canPin) return;
  const list = sharesOf('apart').load.join(',');
  spawnSync('taskset', ['--all-tasks', '--cpu-list', '--pid', list, String(process.pid)], {
    stdio: 'ignore',
  });
}

/** `0-2,5` are 0, 1, 2, and 5. Exported for tests. */
export function parseList(text: string): number[] {
  return text.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}
