/** Fastify's own command, `fastify start`: the app as a plugin in one process, which is what it is made for. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { launch, untilAnswers } from '../launch.ts';
import type { Server } from '../model.ts';
import { app } from './own-node.ts';

const served = app('fastify.mjs');

const fastifyCli: Server = {
  id: 'fastify-cli',
  title: 'fastify-cli',
  note: 'one process, whatever the number of workers',
  endpoints: ['unix', 'tcp'],
  missing: () => (cli() ? undefined : 'fastify-cli is not installed; npm ci does that'),
  async start({ endpoint, node, directory, cpus }) {
    const where =
      endpoint.kind === 'unix'
        ? ['--socket', endpoint.path]
        : ['--address', '127.0.0.1', '--port', String(endpoint.port)];
    const launched = launch(node, [cli()!, 'start', ...where, served], {
      cpus,
      cwd: directory,
      env: { NODE_ENV: 'production' },
      log: join(directory, 'log'),
    });
    await untilAnswers(endpoint, launched, 30);
    return {
      processes: () => [{ pid: launched.pid, role: 'worker' }],
      stop: () => launched.stop(),
    };
  },
};

/** Its program, in the packages of the repository. */
function cli(): string | undefined {
  try {
    return createRequire(import.meta.url).resolve('fastify-cli/cli.js');
  } catch {
    return undefined;
  }
}

export const servers: readonly Server[] = [fastifyCli];
