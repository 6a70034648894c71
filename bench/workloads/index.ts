/** Every workload there is, and how to find one. */
import type { Workload } from '../model.ts';
import { download10m } from './download-10m.ts';
import { hello } from './hello.ts';
import { json1k } from './json-1k.ts';
import { json100k } from './json-100k.ts';
import { mixed } from './mixed.ts';
import { upload1m } from './upload-1m.ts';
import { wait10ms } from './wait-10ms.ts';

export const workloads: readonly Workload[] = [
  hello,
  json1k,
  json100k,
  upload1m,
  download10m,
  wait10ms,
  mixed,
];

/** @param id of a workload that there is. */
export function workloadOf(id: string): Workload {
  const found = workloads.find((one) => one.id === id);
  if (!found) throw new Error(`there is no workload "${id}"`);
  return found;
}
