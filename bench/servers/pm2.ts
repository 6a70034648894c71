/**
 * PM2 in cluster mode: `node:cluster` below its own manager. It runs in the foreground, as in a container, and keeps
 * what it writes in the directory of the site.
 */
import { join } from 'node:path';
import { launch, untilAnswers, untilDone, untilSaid } from '../launch.ts';
import type { Server } from '../model.ts';
import { directoryOf, isNotInstalled, named, versionOf } from '../peers/installed.ts';
import { isAlive } from '../proc.ts';
import { addressOf, app } from './own-node.ts';

const served = app('listen.mjs');
const program = (name: string) => join(directoryOf('pm2'), 'bin', name);
const version = versionOf('pm2');

const pm2: Server = {
  id: 'pm2',
  title: `${named('PM2', version)} cluster`,
  note: 'with its HTTP metrics, which are on by default',
  endpoints: ['unix', 'tcp'],
  missing: () => (version ? undefined : isNotInstalled('pm2')),
  async start({ endpoint, workers, node, directory, cpus }) {
    const options = {
      cpus,
      cwd: directory,
      env: {
        NODE_ENV: 'production',
        LISTEN: addressOf(endpoint),
        HOME: directory,
        PM2_HOME: directory,
        // It asks its maker for newer versions otherwise.
        PM2_DISABLE_VERSION_CHECK: 'true',
        PM2_DISCRETE_MODE: 'true',
      },
      log: join(directory, 'log'),
    };
    const launched = launch(
      node,
      [program('pm2-runtime'), 'start', served, '--name', 'app', '--instances', String(workers)],
      options,
    );
    await untilSaid(launched, /\d+ listens/, { count: workers, seconds: 30 });
    await untilAnswers(endpoint, launched, 10);
    return {
      processes: () => [
        { pid: launched.pid, role: 'arbiter' },
        ...launched
          .descendants()
          .filter(isAlive)
          .map((pid) => ({ pid, role: 'worker' as const })),
      ],
      async reload() {
        const reload = launch(node, [program('pm2'), 'reload', 'app'], {
          ...options,
          log: join(directory, 'reload.log'),
        });
        await untilDone(reload, 60, 'pm2 reload');
      },
      stop: () => launched.stop(),
    };
  },
};

export const servers: readonly Server[] = [pm2];
