#!/usr/bin/env node
/**
 * The command line: reads arguments and environment, and either serves, checks, or prints. The only file that reads
 * `process.env` or sets the exit code of the arbiter's process.
 */
import { readFileSync } from 'node:fs';
import { Arbiter } from './arbiter/arbiter.ts';
import { checkApp } from './arbiter/check.ts';
import { checkListener, openListener } from './arbiter/listener.ts';
import { type Loaded, load } from './config/load.ts';
import { help, printConfig, usage } from './config/render.ts';
import { ExitCode, UserError } from './errors.ts';
import { checkLogs, openErrorLog } from './log.ts';
import { machine } from './machine.ts';

/** Runs the command and resolves with the exit code. */
async function main(): Promise<number> {
  const loaded = load(process.argv.slice(2), process.env, machine());
  switch (loaded.action) {
    case 'help':
      return print(help(version(), process.stdout.columns ?? 80));
    case 'version':
      return print(`fasticorn ${version()} (Node ${process.versions.node})`);
    case 'printConfig':
      return print(printConfig(loaded));
    case 'checkConfig':
      return check(loaded);
    default:
      return serve(loaded);
  }
}

async function serve({ app, config }: Loaded): Promise<number> {
  if (app === undefined) return complain(`fasticorn: no app was given\n\n${usage()}`);
  const { logger: log, flushSync } = openErrorLog(config);
  const listener = await openListener(config, {
    onRestored: (path) => log.warn(`${path} was deleted by somebody; it was put back`),
    onForeign: (path) =>
      log.error(`${path} was replaced by somebody; it was left alone, and nobody can reach us there`),
    onLost: (path, reason) =>
      log.error(`${path} was deleted and cannot be put back (${reason}); restart to be reachable`),
  });
  const exitCode = await new Arbiter({ version: version(), app, config, listener, log }).run();
  flushSync();
  const { errorLogfile } = config;
  if (exitCode !== ExitCode.ok && errorLogfile !== '-')
    complain(`fasticorn: could not start: see ${errorLogfile}`);
  return exitCode;
}

async function check({ app, config }: Loaded): Promise<number> {
  if (app === undefined) return complain(`fasticorn: no app was given\n\n${usage()}`);
  checkLogs(config);
  checkListener(config);
  await checkApp(app, config);
  return print(`the settings are valid, and ${app} loads`);
}

function version(): string {
  return (
    JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
  ).version;
}

function print(text: string): number {
  process.stdout.write(`${text.trimEnd()}\n`);
  return ExitCode.ok;
}

function complain(text: string): number {
  process.stderr.write(`${text.trimEnd()}\n`);
  return ExitCode.usage;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  complain(`fasticorn: ${error.message}`);
  process.exitCode = error.exitCode;
}
