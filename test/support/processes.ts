/**
 * Processes as the system has them, on Linux: children, titles, open descriptors.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A child of a process, dead ones that nobody has waited for included. */
export interface Child {
  pid: number;
  title: string;
  isZombie: boolean;
}

export function childrenOf(pid: number): Child[] {
  const pids = read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);
  return pids.map((child) => ({
    pid: child,
    title: titleOf(child),
    isZombie: /^State:\s+Z/m.test(read(`/proc/${child}/status`)),
  }));
}

/** What `ps` shows. */
export function titleOf(pid: number): string {
  return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
}

/** The processes, zombies aside, that were started with this variable in their environment, or by such. */
export function processesWith(variable: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => `\0${read(`/proc/${pid}/environ`)}`.includes(`\0${variable}\0`))
    .map(Number);
}

/** How many descriptors of each kind a process has: `socket`, `pipe`, `anon_inode:inotify`, the path of a file. */
export function descriptorsOf(pid: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const link of linksOf(pid)) {
    const kind = link.replace(/^(socket|pipe):.*/, '$1');
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

/** What the descriptors of a process lead to. */
export function linksOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
