/**
 * Servers that are a program in `apps/` and nothing else: a parent, if there is one, and processes that run the app.
 * How these share a socket is the program's business.
 */
import { join } from 'node:path';
import { launch, untilAnswers, untilSaid } from '../launch.ts';
import type { Endpoint, Running, Site } from '../model.ts';

/** A file in `apps/`. */
export const app = (name: string) => join(import.meta.dirname, '../apps', name);

/** An address as the programs there are told it. */
export const addressOf = (endpoint: Endpoint) =>
  endpoint.kind === 'unix' ? endpoint.path : String(endpoint.port);

/** Starts an app of `serve.mjs` in processes that inherit a bound socket, all with these flags of Node. */
export const prefork =
  (app: string, flags: readonly string[] = []) =>
  (site: Site) =>
    startProgram(site, 'prefork.mjs', [String(site.workers), app, addressOf(site.endpoint)], flags);

/** How long a start may take, in seconds. */
const START_LIMIT = 30;

/**
 * Starts such a program.
 *
 * @param args what follows its name; each process that runs the app says `listening`.
 * @param flags what goes before its name.
 */
export async function startProgram(
  site: Site,
  name: string,
  args: readonly string[],
  flags: readonly string[] = [],
): Promise<Running> {
  const launched = launch(site.node, [...flags, app(name), ...args], {
    cpus: site.cpus,
    cwd: site.directory,
    env: { NODE_ENV: 'production' },
    log: join(site.directory, 'log'),
  });
  const isAlone = name === 'serve.mjs';
  await untilSaid(launched, /^listening$/m, { count: isAlone ? 1 : site.workers, seconds: START_LIMIT });
  await untilAnswers(site.endpoint, launched, START_LIMIT);
  return {
    processes: () => [
      { pid: launched.pid, role: isAlone ? 'worker' : 'arbiter' },
      ...launched.descendants().map((pid) => ({ pid, role: 'worker' as const })),
    ],
    stop: () => launched.stop(),
  };
}
