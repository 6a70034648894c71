/**
 * Python servers that are a master with forked or spawned workers and replace those on SIGHUP; which server it is, and
 * with what options, is not known here.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, untilAnswers, untilSaid } from '../launch.ts';
import type { Running, Site } from '../model.ts';
import { python } from '../peers/installed.ts';
import { isAlive } from '../proc.ts';

/** Where the apps are, as modules. */
export const apps = join(import.meta.dirname, '../apps');

/** How long a start, or a reload until all new workers serve, may take, in seconds. */
const LIMIT = 30;

/**
 * Starts one.
 *
 * @param args what follows `python -m`.
 * @param ready what each worker says once it serves.
 */
export async function startPython(
  site: Site,
  args: readonly string[],
  ready: RegExp,
): Promise<Required<Running>> {
  const launched = launch(python, ['-m', ...args], {
    cpus: site.cpus,
    cwd: site.directory,
    env: { PYTHONDONTWRITEBYTECODE: '1' },
    log: join(site.directory, 'log'),
  });
  let expected = 0;
  const untilNewServe = async () => {
    expected += site.workers;
    await untilSaid(launched, ready, { count: expected, seconds: LIMIT });
    await untilAnswers(site.endpoint, launched, LIMIT);
  };
  await untilNewServe();
  // Ended workers stay below their master until it has missed them.
  const children = () => launched.descendants().filter(isAlive);
  return {
    processes: () => [
      { pid: launched.pid, role: children().some(isWorker) ? 'arbiter' : 'worker' },
      ...children().map((pid) => ({ pid, role: isWorker(pid) ? ('worker' as const) : ('arbiter' as const) })),
    ],
    async reload() {
      process.kill(launched.pid, 'SIGHUP');
      await untilNewServe();
    },
    stop: () => launched.stop(),
  };
}

/** Whether a child is none of those that Python itself keeps beside the ones it spawns. */
function isWorker(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('multiprocessing.resource_tracker');
  } catch {
    return false;
  }
}
