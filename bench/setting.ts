/** An experiment in words, for its readers: what all its rows have in common, and how long it was measured. */

import type { Shares } from './cpus.ts';
import type { Entry, Experiment } from './experiment.ts';
import type { Path } from './model.ts';
import { workloadOf } from './workloads/index.ts';

const PATHS: Record<Path, string> = {
  unix: 'straight to the Unix socket',
  tcp: 'straight to the port',
  'nginx-keepalive': 'through nginx with a pool of connections',
  'nginx-close': 'through nginx with a connection for each request',
};

/** Such as `hello world, JSON; straight to the Unix socket; 2 workers; 64 connections; …`. */
export function settingOf(experiment: Experiment, cpus: Shares): string {
  const { kind, entries, rounds, seconds, starts = 1 } = experiment;
  const parts = [
    ...(kind === 'load' ? askedOf(entries) : []),
    ...(kind === 'reload' ? ['GETs and POSTs of 16 clients, through nginx with a pool if there is one'] : []),
    common(entries, ({ workers }) => counted(workers, 'worker')),
    placeOf(cpus),
    counted(rounds, 'round') + (seconds > 0 ? ` of ${seconds} s` : ''),
    ...(starts > 1 ? [`all servers started ${Math.min(starts, rounds)} times`] : []),
  ];
  return parts.filter((part) => part !== undefined).join('; ');
}

function askedOf(entries: readonly Entry[]): (string | undefined)[] {
  return [
    common(entries, ({ workload }) => workloadOf(workload).title),
    common(entries, ({ path }) => PATHS[path]),
    common(entries, ({ connections }) => counted(connections, 'connection')),
    common(entries, ({ rate }) => rate && `${rate} requests/s`),
  ];
}

/** What all have in common; undefined if they differ, as each row says it then. */
function common(
  entries: readonly Entry[],
  word: (entry: Entry) => string | number | undefined,
): string | undefined {
  const words = new Set(entries.map(word));
  const [only] = words;
  return words.size === 1 && only !== undefined ? String(only) : undefined;
}

function placeOf({ server, load }: Shares): string {
  const list = (cpus: readonly number[]) => `CPU${cpus.length > 1 ? 's' : ''} ${cpus.join(', ')}`;
  return server === load
    ? `all of it on ${list(server)}`
    : `the server on ${list(server)}, the load on ${list(load)}`;
}

const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;
