/**
 * Every process that descends from a server, also when its first arbiter has long been replaced: found by a variable
 * in their environment, and ended by their ids when the test ends.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { TestContext } from 'node:test';
import { until } from './server.ts';

/** A running process. */
export interface Member {
  pid: number;
  ppid: number;
  /** What `ps` shows. */
  title: string;
  /** How many descriptors it has open. */
  descriptors: number;
}

/** All that a test starts with `env`. To be made before anything that has to be undone after the processes ended. */
export class Lineage {
  readonly env: { LINEAGE: string } = { LINEAGE: randomUUID() };

  constructor(t: TestContext) {
    t.after(() => this.end());
  }

  /** Who runs at this moment, the oldest first. */
  members(): Member[] {
    return processIds().flatMap((pid) => {
      try {
        if (!readFileSync(`/proc/${pid}/environ`, 'utf8').includes(this.env.LINEAGE)) return [];
        const title = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0+$/, '').replaceAll('\0', ' ');
        const { ppid } = statOf(pid);
        return [{ pid, ppid, title, descriptors: readdirSync(`/proc/${pid}/fd`).length }];
      } catch {
        return [];
      }
    });
  }

  /** Those among them that are arbiters by their titles. */
  arbiters(): Member[] {
    return this.members().filter(({ title }) => title.startsWith('fasticorn: arbiter'));
  }

  /** Those who are dead, but not buried by their parent. */
  zombies(): number[] {
    const parents = new Set(this.members().map(({ pid }) => pid));
    return processIds().filter((pid) => {
      try {
        const { state, ppid } = statOf(pid);
        return state === 'Z' && parents.has(ppid);
      } catch {
        return false;
      }
    });
  }

  /** Ends everybody, and whoever was started meanwhile. */
  async end(): Promise<void> {
    await until(() => {
      const members = this.members();
      for (const { pid } of members) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {}
      }
      return members.length === 0;
    }, 'the end of all processes');
  }
}

/** Counts how often a name in a directory has appeared, vanished or been replaced since: the kernel misses none. */
export function changesOf(t: TestContext, path: string): { count: number } {
  const changes = { count: 0 };
  const watcher = watch(dirname(path), (event, name) => {
    if (event === 'rename' && name === basename(path)) changes.count++;
  });
  t.after(() => watcher.close());
  return changes;
}

function processIds(): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  assert(pids.length > 0);
  return pids.map(Number).sort((a, b) => a - b);
}

function statOf(pid: number): { state: string; ppid: number } {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const [state = '', ppid = ''] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state, ppid: Number(ppid) };
}
