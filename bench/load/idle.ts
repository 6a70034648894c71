/**
 * Connections that are open and do nothing, thousands of them, held by a process beside the load generator. What a
 * server makes of them is measured by others.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type Launched, launch, untilSaid } from '../launch.ts';
import type { Endpoint } from '../model.ts';

const clients = join(import.meta.dirname, 'idle-clients.mjs');
/** Descriptors that a process has besides. */
const OTHERS = 500;

/** Why so many connections cannot be held here; undefined if they can. */
export function cannotHold(count: number): string | undefined {
  // Node raises its own to the hard limit, and so do servers.
  const limit = execFileSync('sh', ['-c', 'ulimit -H -n'], { encoding: 'utf8' }).trim();
  return limit !== 'unlimited' && Number(limit) < count + OTHERS
    ? `the limit of open files is ${limit}, and ${count} connections need ${count + OTHERS}`
    : undefined;
}

/** Opens so many connections, and resolves when each has had one answer. */
export async function holdIdle(
  count: number,
  endpoint: Endpoint,
  { cpus, directory }: { cpus: readonly number[]; directory: string },
): Promise<Launched> {
  const address = endpoint.kind === 'unix' ? endpoint.path : String(endpoint.port);
  const log = join(directory, 'idle.log');
  const launched = launch(process.execPath, [clients, String(count), address], { cpus, log });
  await untilSaid(launched, /^holding$/m, { count: 1, seconds: 60 });
  return launched;
}
