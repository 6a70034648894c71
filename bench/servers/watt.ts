/**
 * Watt of Platformatic: the app in threads of one process, all of which listen on the same TCP port. What it writes goes
 * to the directory of the site.
 */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, untilAnswers, untilDone, untilSaid } from '../launch.ts';
import type { Server } from '../model.ts';
import { nodeVersion } from '../nodes.ts';
import { directoryOf, isNotInstalled, named, versionOf } from '../peers/installed.ts';
import { app } from './own-node.ts';

const served = app('listen.mjs');
const program = join(directoryOf('wattpm'), 'bin/cli.js');
const version = versionOf('wattpm');

const watt: Server = {
  id: 'watt',
  title: named('Watt', version),
  note: 'TCP only; its workers are threads of one process',
  endpoints: ['tcp'],
  missing(node) {
    if (!version) return isNotInstalled('wattpm');
    const here = nodeVersion(node) ?? '';
    const [major = 0, minor = 0] = here.split('.').map(Number);
    return major > 22 || (major === 22 && minor >= 19) ? undefined : `Watt needs Node 22.19, this is ${here}`;
  },
  async start({ endpoint, workers, node, directory, cpus }) {
    if (endpoint.kind !== 'tcp') throw new Error('Watt listens on TCP only');
    configure(directory, { port: endpoint.port, workers });
    const options = {
      cpus,
      cwd: directory,
      env: {
        NODE_ENV: 'production',
        LISTEN: String(endpoint.port),
        HOME: directory,
        TMPDIR: directory,
      },
      log: join(directory, 'log'),
    };
    const launched = launch(node, [program, 'start'], options);
    await untilSaid(launched, /\d+ listens/, { count: workers, seconds: 60 });
    await untilAnswers(endpoint, launched, 10);
    return {
      processes: () => [{ pid: launched.pid, role: 'worker' }],
      async reload() {
        // What it calls a reload is another process, after a pause; a restart replaces the workers one by one.
        const restart = launch(node, [program, 'restart', String(launched.pid)], {
          ...options,
          log: join(directory, 'restart.log'),
        });
        await untilDone(restart, 60, 'wattpm restart');
      },
      stop: () => launched.stop(),
    };
  },
};

/** Writes a Watt project with the one app, in production settings. */
function configure(directory: string, { port, workers }: { port: number; workers: number }): void {
  const root = join(directory, 'app');
  mkdirSync(root);
  symlinkSync(directoryOf(''), join(directory, 'node_modules'));
  const files = {
    'package.json': { name: 'bench', private: true },
    'watt.json': {
      module: '@platformatic/runtime',
      server: { hostname: '127.0.0.1', port },
      logger: { level: 'info' },
      managementApi: true,
      entrypoint: 'app',
      applications: [{ id: 'app', path: './app', workers }],
    },
    'app/package.json': { name: 'app', private: true, main: served },
    'app/watt.json': { module: '@platformatic/node' },
  };
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(directory, name), JSON.stringify(content));
  }
}

export const servers: readonly Server[] = [watt];
