/**
 * fasticorn as it is built in `dist/`: with the access log in a file, without, with an app that cannot log either, and with
 * one that takes long to load.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { launch, untilAnswers, untilDone, untilSaid } from '../launch.ts';
import type { Running, Server, Site } from '../model.ts';
import { app } from './own-node.ts';

const command = join(import.meta.dirname, '../../dist/cli.js');
/** How long a start, or a reload, may take, in seconds. */
const LIMIT = 30;

const fasticorn: Server = {
  id: 'fasticorn',
  title: 'fasticorn',
  endpoints: ['unix', 'tcp'],
  missing: () => (existsSync(command) ? undefined : 'fasticorn is not built; npm run build does that'),
  start: (site) => start(site, join(site.directory, 'access.log')),
};

const withoutLog: Server = {
  ...fasticorn,
  id: 'fasticorn-no-log',
  title: 'fasticorn, no access log',
  start: (site) => start(site, 'off'),
};

const withoutLogger: Server = {
  ...fasticorn,
  id: 'fasticorn-no-logger',
  title: 'fasticorn, no access log, no logger',
  note: 'for an app that cannot log, as bare Fastify has it',
  start: (site) => start(site, 'off', { APP_LOGGER: 'off' }),
};

/** How long the slow app takes to load, in seconds. */
const SLOW = 3;

const withSlowApp: Server = {
  ...fasticorn,
  id: 'fasticorn-slow-app',
  title: 'fasticorn, slow app',
  note: `for an app that takes ${SLOW} s to load`,
  start: (site) => start(site, join(site.directory, 'access.log'), { APP_LOADS: `${SLOW}` }),
};

/** @param env for the app. */
async function start(
  site: Site,
  accessLog: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Running> {
  const { endpoint, workers, node, directory, cpus } = site;
  const control = join(directory, 'control');
  const options = {
    cpus,
    cwd: directory,
    env: { NODE_ENV: 'production', ...env },
    log: join(directory, 'log'),
  };
  const bind = endpoint.kind === 'unix' ? `unix:${endpoint.path}` : `127.0.0.1:${endpoint.port}`;
  const launched = launch(
    node,
    [
      command,
      `--bind=${bind}`,
      `--workers=${workers}`,
      `--control-socket=${control}`,
      `--access-logfile=${accessLog}`,
      app('fastify.mjs'),
    ],
    options,
  );
  await untilSaid(launched, /worker \d+ \(pid \d+\) is ready/, { count: workers, seconds: LIMIT });
  await untilAnswers(endpoint, launched, LIMIT);
  return {
    processes: () => [
      { pid: launched.pid, role: 'arbiter' },
      ...launched.descendants().map((pid) => ({ pid, role: 'worker' as const })),
    ],
    async reload() {
      const reload = launch(node, [command, 'reload', '--control-socket', control], {
        ...options,
        log: join(directory, 'reload.log'),
      });
      await untilDone(reload, LIMIT, 'fasticorn reload');
    },
    stop: () => launched.stop(),
  };
}

export const servers: readonly Server[] = [fasticorn, withoutLog, withoutLogger, withSlowApp];
