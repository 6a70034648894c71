/**
 * A site that is served by `fasticorn dev`, while a test edits its files.
 */
import type { TestContext } from 'node:test';
import { fetchFrom } from './http.ts';
import { type Server, type ServerOptions, startServer, until } from './server.ts';
import { FILE_DECIDES, Site, versionApp } from './site.ts';

/** An app that answers the version that this module exports. */
export const appOf = (module: string): string =>
  versionApp('', `const { version } = await import(${JSON.stringify(module)});`).replace(
    'async () => ""',
    'async () => version',
  );

/** A module for it. */
export const moduleOf = (version: string): string => `export const version = ${JSON.stringify(version)};\n`;

/** Starts `fasticorn dev ./app.mjs` with JSON logs, and waits until it serves. */
export async function develop(
  t: TestContext,
  files: Record<string, string>,
  { args = [], ...options }: ServerOptions & { args?: readonly string[] } = {},
): Promise<{ site: Site; server: Server }> {
  const site = siteOf(t, files);
  const server = await site.start(['dev', '--no-pretty', ...args], optionsOf(options));
  return { site, server };
}

/** The same, for an app that cannot start: waits until that was said. */
export async function developBroken(
  t: TestContext,
  files: Record<string, string>,
): Promise<{ site: Site; server: Server }> {
  const site = siteOf(t, files);
  const args = ['dev', '--no-pretty', '--control-socket', site.control];
  const options = { ...optionsOf({}), socket: site.socket, cwd: site.directory, early: true };
  const server = await startServer(t, './app.mjs', args, options);
  await until(() => server.stderr.includes('failed to start'), 'the start to fail');
  return { site, server };
}

/** Waits until a new connection is answered by a version. */
export async function answers(site: Site, version: string): Promise<void> {
  const ask = () => fetchFrom({ socketPath: site.socket }, '/version').catch(() => undefined);
  await until(async () => (await ask())?.body === version, `version ${version}`);
}

function siteOf(t: TestContext, files: Record<string, string>): Site {
  const site = new Site(t);
  for (const [name, text] of Object.entries(files)) site.write(name, text);
  return site;
}

const optionsOf = ({ env, ...options }: ServerOptions): ServerOptions => ({
  ...options,
  env: { ...FILE_DECIDES, ...env },
});
