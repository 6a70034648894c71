#!/usr/bin/env node
/**
 * The command line: reads arguments and environment, and serves, checks, prints, or asks a running server. The only
 * file that reads `process.env` or sets the exit code of the arbiter's process.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { isatty } from 'node:tty';
import { findApp } from './app-file.ts';
import { Arbiter } from './arbiter/arbiter.ts';
import { checkApp } from './arbiter/check.ts';
import { assertLaunchable, commandAs, credentialsOf } from './arbiter/credentials.ts';
import { checkListeners, inheritListeners, openListeners, passedListeners } from './arbiter/listener.ts';
import { Office } from './arbiter/office.ts';
import type { PathEvents } from './arbiter/socket-path.ts';
import { tiedToUs } from './arbiter/supervision.ts';
import { readTlsIdentity } from './arbiter/tls-identity.ts';
import { HEIRLOOMS, type Invocation, predecessor } from './arbiter/upgrade.ts';
import { verbNames } from './commands.ts';
import type { Loaded } from './config/load.ts';
import { meaningElsewhere } from './config/other-servers.ts';
import { reloaded } from './config/reload.ts';
import { help, printConfig, shown, usage } from './config/render.ts';
import type { Config } from './config/settings.ts';
import { nearest } from './config/spelling.ts';
import { configure, startDirectory } from './configuration.ts';
import { EarlySignals } from './early-signals.ts';
import { ExitCode, errorCode, UserError } from './errors.ts';
import { prepareLaunch } from './launch.ts';
import { checkLogs, createLogs, type Logger, onDemand, openErrorLog } from './log.ts';
import { machine } from './machine.ts';
import { MANIFEST } from './places.ts';
import { ACTIVATION, activatedSockets } from './socket-activation.ts';

const early = new EarlySignals([...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(/\s+/)]);
const argv = process.argv.slice(2);
/** Undefined if it was deleted: then a running server can still be asked. */
const workingDirectory = currentDirectory();
const directory = startDirectory(workingDirectory, process.env.PWD);
/** The server that we are to succeed. Its message is for us only, not for the workers. */
const before = predecessor(process.env[HEIRLOOMS]);
delete process.env[HEIRLOOMS];
/** The sockets that systemd has passed to us, or to a predecessor, who says so by its own pid. */
const activated = activatedSockets(process.env, before ? process.ppid : process.pid);
if (activated.length > 0) for (const name of ACTIVATION) delete process.env[name];

const configuration = (signal?: AbortSignal) =>
  configure({ argv, env: process.env, machine: machine(), directory, activated, signal });

/** What the workers of such a configuration are started with. */
const launchOf = (loaded: Loaded) => {
  const credentials = credentialsOf(loaded.config);
  const runAs = credentials && commandAs.bind(undefined, credentials);
  const { env, execArgv } = process;
  const cacheUser = { uid: credentials?.uid ?? process.geteuid?.(), umask: process.umask() };
  return prepareLaunch(loaded, { env, execArgv, machine: machine(), runAs, cacheUser });
};

/** Runs the command and resolves with the exit code. */
async function main(): Promise<number> {
  const loaded = await configuration();
  if (loaded.action === 'help')
    return print(help(version(), process.stdout.columns ?? 80, loaded.everything));
  if (loaded.action === 'version') return print(`fasticorn ${version()} (Node ${process.versions.node})`);
  if (loaded.action === 'printConfig') return print(printConfig(loaded));
  if (loaded.verb) {
    early.release();
    const { operate } = await import('./operate.ts');
    // 0 on a terminal whose size nobody has set.
    return operate(loaded.verb, loaded, { print, complain, columns: process.stdout.columns || undefined });
  }
  if (workingDirectory === undefined)
    throw new UserError(`the working directory ${directory} has been deleted: change to one that is there`);
  const { app } = loaded;
  refuseMistypedCommand(loaded);
  if (app === undefined) return complain(`fasticorn: no app was given\n\n${usage()}`);
  return loaded.action === 'checkConfig' ? check({ ...loaded, app }) : serve({ ...loaded, app });
}

function currentDirectory(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}

/** `fasticorn relaod` would otherwise start a server, or try to. */
function refuseMistypedCommand({ app = '', config }: Loaded): void {
  const command = /^[a-z]+$/.test(app) ? nearest(app, [...verbNames, 'status', 'dev']) : undefined;
  const meant = meaningElsewhere(app) ?? (command && `the command ${command}`);
  if (meant && missingApp({ app, config }))
    throw new UserError(`there is no app "${app}"; did you mean ${meant}?`);
}

async function serve(loaded: Loaded & { app: string }): Promise<number> {
  const { config } = loaded;
  // Before anything else is opened, whose descriptor could be taken for one that was passed to us.
  const passed = before ? [] : passedListeners(config.bind);
  const inheritedUmask = setUmask(config);
  const credentials = credentialsOf(config);
  assertLaunchable(credentials, config);
  // The arbiter opens the error log as well, and would make it its own.
  if (credentials) createLogs(config, credentials);
  const launch = await launchOf(loaded);
  // On demand, as workers are started before this log has its first line.
  const log = openErrorLog(config, { when: onDemand });
  const { logger, flushSync } = log;
  const ended = (exitCode: number): number => {
    flushSync();
    const { errorLogfile, logLevel } = config;
    if (exitCode === ExitCode.ok) return exitCode;
    if (logLevel === 'silent')
      complain('fasticorn: could not start, and --log-level silent hides why: --check-config says it');
    else if (errorLogfile !== '-') complain(`fasticorn: could not start: see ${errorLogfile}`);
    return exitCode;
  };
  // Before anything is bound, or anybody replaced.
  readTlsIdentity(config);
  const missing = config.watch ? undefined : missingApp(loaded);
  if (missing) {
    logger.fatal(missing.message);
    before?.failed(missing.message);
    return ended(missing.exitCode);
  }
  const office = new Office({ config, predecessor: before, log: logger });
  await office.examine();
  early.hold();
  const events = pathEvents(logger);
  const onKept = (path: string, reason: string) =>
    logger.error(`${path} has the mode and the owner of before, as they cannot be changed: ${reason}`);
  const inherited = inheritListeners(before?.heirlooms ?? [], config, events, onKept);
  const listeners = await openListeners(config, events, [...inherited, ...passed]);
  for (const listener of inherited) {
    if (listeners.includes(listener)) continue;
    listener.withdraw();
    listener.close();
  }
  const arbiter = new Arbiter({
    version: version(),
    loaded,
    launch,
    listeners,
    pathEvents: events,
    office,
    log,
    predecessor: before,
    reconfigure: async (running, signal) => {
      const next = reloaded(running, await configuration(signal));
      return { ...next, launch: await launchOf(next.loaded) };
    },
    show: shown,
    invocation: invocation(inheritedUmask),
    onTerminal: isatty(0) || isatty(1) || isatty(2),
    earlySignals: () => early.release(),
  });
  return ended(await arbiter.run());
}

/** Why there is no such app; undefined if there is one. */
function missingApp({ app, config }: { app: string; config: Config }): UserError | undefined {
  try {
    findApp(app, config.chdir ?? '.');
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  return undefined;
}

/** Sets the umask for this process and all workers, and returns the one before; undefined if it stays. */
function setUmask({ umask }: Config): number | undefined {
  return umask === undefined ? undefined : process.umask(umask);
}

async function check(loaded: Loaded & { app: string }): Promise<number> {
  const { app, args, config } = loaded;
  setUmask(config);
  assertLaunchable(credentialsOf(config), config);
  checkLogs(config);
  checkListeners(config);
  readTlsIdentity(config);
  const shape = await checkApp(app, args, config, await launchOf(loaded));
  return print(`the settings are valid, and ${app} loads: ${shape}`);
}

function pathEvents(log: Logger): PathEvents {
  return {
    onRestored: (path) => log.warn(`${path} was deleted by somebody; it was put back`),
    onForeign: (path) =>
      log.error(`${path} was replaced by somebody; it was left alone, and nobody can reach us there`),
    onLost: (path, reason) =>
      log.error(`${path} was deleted and cannot be put back (${reason}); restart to be reachable`),
  };
}

/** How to start our like: by the paths as they were typed, since the links in them may lead to a newer release. */
function invocation(umask: number | undefined): Invocation {
  const [, script = ''] = process.argv;
  const inside = script.startsWith(process.cwd() + sep);
  return {
    argv: [inside ? join(directory, script.slice(process.cwd().length)) : script, ...argv],
    directory,
    env: {
      ...process.env,
      ...(activated.length > 0 && { LISTEN_FDS: `${activated.length}`, LISTEN_PID: `${process.pid}` }),
    },
    umask,
    tiedToUs: tiedToUs({
      pid: process.pid,
      ppid: process.ppid,
      env: process.env,
      isSuccessor: before !== undefined,
      isContainer: existsSync('/.dockerenv') || existsSync('/run/.containerenv'),
    }),
  };
}

function version(): string {
  return (JSON.parse(readFileSync(MANIFEST, 'utf8')) as { version: string }).version;
}

function print(text: string): number {
  say(process.stdout, text);
  return ExitCode.ok;
}

function complain(text: string): number {
  say(process.stderr, text);
  return ExitCode.usage;
}

/** To a pipe whose reader has gone, such as `head`, there is nothing to be said any more. */
function say(stream: NodeJS.WriteStream, text: string): void {
  stream.on('error', (error) => {
    if (errorCode(error) !== 'EPIPE') throw error;
  });
  stream.write(`${text.trimEnd()}\n`);
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  before?.failed(error.message);
  complain(`fasticorn: ${error.message}`);
  process.exitCode = error.exitCode;
}
// The channel to a predecessor would keep us alive.
if (process.connected) process.disconnect();
