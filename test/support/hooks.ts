/**
 * Servers whose config file has hooks that note what they are told.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { ServerEvent } from '../../src/index.ts';
import { fetchFrom } from './http.ts';
import { readJsonLines } from './json-lines.ts';
import { childrenOf } from './processes.ts';
import { app, type Server, type ServerOptions, startServer, temporaryDirectory } from './server.ts';

/** What config files begin with: `note` writes the event, and what else is given, to a file. */
export const NOTE = `
import { appendFileSync } from 'node:fs';
const note = (event, more) =>
  appendFileSync(process.env.EVENTS, JSON.stringify({ ...event, ...more, host: process.pid }) + '\\n');
`;

/** The names of all hooks. */
export const ALL = [
  ...['onStarting', 'workerReady', 'whenReady', 'onReload', 'workerStuck', 'workerExit', 'onExit'],
];

/** The text of a config file that notes every event, but has these in the place of some hooks. */
export const noting = (others = '') =>
  `${NOTE}export default { ${ALL.map((name) => `${name}: note`)}, ${others} };`;

/** An event as it was noted, with the process id of the hook. */
export type Noted = ServerEvent & { host: number; [key: string]: unknown };

/** A directory with a config file, and what its hooks have noted so far. */
export function scene(t: TestContext, text: string) {
  const directory = temporaryDirectory(t);
  const events = join(directory, 'events');
  const config = (changed: string) => writeFileSync(join(directory, 'fasticorn.config.mjs'), changed);
  config(text);
  writeFileSync(events, '');
  const noted = (type?: string): Noted[] =>
    readJsonLines<Noted>(events).filter((event) => type === undefined || event.type === type);
  const env = { EVENTS: events, WEB_CONCURRENCY: '1' };
  const start = (args: string[] = [], file = 'echo.mjs', options: ServerOptions = {}) =>
    startServer(t, app(file), args, { cwd: directory, ...options, env: { ...env, ...options.env } });
  return { directory, env, config, noted, start };
}

/** The processes that run hooks of a server. */
export function hostsOf({ pid }: Server): number[] {
  const hosts = childrenOf(pid).filter(({ title }) => title === 'fasticorn: hooks');
  return hosts.map((host) => host.pid);
}

/** Its workers. */
export function workersOf(server: Server): number[] {
  const hosts = hostsOf(server);
  return server.workers().filter((pid) => !hosts.includes(pid));
}

/** Asserts that a server of `echo.mjs` answers. */
export async function assertServes({ socket }: Server): Promise<void> {
  assert.equal((await fetchFrom({ socketPath: socket }, '/token/a')).body, 'token a');
}

/** The errors in its log. */
export function errorsOf(server: Server): { msg: string; [key: string]: unknown }[] {
  return server.log().filter(({ level }) => level >= 50);
}
