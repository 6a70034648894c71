/**
 * The commands for a running server: finds it, asks it, waits for the answer and prints that. Knows the command
 * line's side; what the server does is the arbiter's business.
 */
import { readlinkSync } from 'node:fs';
import { readPid } from './arbiter/pid-file.ts';
import { type Outcome, signals } from './commands.ts';
import type { Loaded, VerbCall } from './config/load.ts';
import type { Config } from './config/settings.ts';
import { ask } from './control-client.ts';
import { ExitCode, errorCode, UserError } from './errors.ts';
import { controlPath, type Health, type Status } from './status.ts';
import { statusTable } from './status-table.ts';

/** Where the texts for people and programs go. */
export interface Output {
  print(text: string): void;
  complain(text: string): void;
  /** How wide lines for people may be, in characters; undefined if they may be of any length. */
  columns: number | undefined;
}

/**
 * Carries out a command and returns the exit code: 0 if the server did it, or, for `status`, if it is healthy.
 *
 * @throws UserError if there is no server to ask.
 */
export async function operate(verb: VerbCall, loaded: Loaded, output: Output): Promise<number> {
  warnOfIgnored(verb, loaded, output);
  if (isByPid(loaded)) return signal(verb, loaded.config.pid!, output);
  const path = pathOf(loaded.config);
  return verb.name === 'status' ? status(path, verb, output) : order(path, verb, output);
}

/** What says where a server is; all other settings are those that it was started with. */
const LOCATING: readonly string[] = ['bind', 'config', 'chdir', 'controlSocket', 'pid'];

function warnOfIgnored({ name }: VerbCall, { origins }: Loaded, { complain }: Output): void {
  if (name !== 'reload' && name !== 'upgrade') return;
  for (const [setting, origin] of Object.entries(origins)) {
    if (origin.from !== 'flag' || LOCATING.includes(setting)) continue;
    complain(
      `fasticorn: ${origin.name} changes nothing with ${name}: the server keeps the flags it was started with`,
    );
  }
}

/** @throws UserError if the settings do not say where the control socket is. */
function pathOf(config: Config): string {
  const path = controlPath(config, 0);
  if (path === undefined)
    throw new UserError('the control socket is off (--control-socket); use --pid FILE to send a signal');
  if (config.controlSocket === undefined && !config.bind.some(({ kind }) => kind === 'unix'))
    throw new UserError(
      'a server without the path of a Unix socket is found by --control-socket /tmp/fasticorn-<its pid>.ctl, or --pid FILE',
    );
  return path;
}

/**
 * With `--pid`, and no other flag that says where the server is, only a signal can be sent: variables and the file of this
 * directory may belong to another server.
 */
function isByPid({ origins }: Loaded): boolean {
  return origins.pid.from === 'flag' && origins.controlSocket.from !== 'flag' && origins.bind.from !== 'flag';
}

function signal({ name, argument }: VerbCall, pidFile: string, { print }: Output): number {
  const found = Object.entries(signals).find(([, wish]) => wish.verb === name && wish.argument === argument);
  const what = [name, argument].filter(Boolean).join(' ');
  if (!found)
    throw new UserError(`there is no signal for ${what}: use --control-socket, or --bind, in place of --pid`);
  const pid = readPid(pidFile);
  try {
    process.kill(pid, found[0]);
  } catch (error) {
    throw new UserError(`--pid ${pidFile}: process ${pid} cannot be sent ${found[0]} (${errorCode(error)})`);
  }
  const isWorthWaiting = name === 'reload' || name === 'upgrade';
  const more = isWorthWaiting
    ? '; what becomes of it is in its log: --bind or --control-socket would wait'
    : '';
  print(`${found[0]} was sent to pid ${pid}${more}`);
  return ExitCode.ok;
}

async function order(
  path: string,
  { name, argument, noWait }: VerbCall,
  { print, complain }: Output,
): Promise<number> {
  const url = `/${name}${argument === undefined ? '' : `/${encodeURIComponent(argument)}`}`;
  const { body } = await ask(path, 'POST', noWait ? `${url}?wait=no` : url);
  const { ok, message, stack } = known(path, body, 'ok') as Outcome;
  if (ok) print(message);
  else complain(`fasticorn: ${name} failed: ${message}${stack ? `\n${stack}` : ''}`);
  return ok ? ExitCode.ok : ExitCode.usage;
}

async function status(
  path: string,
  { json }: VerbCall,
  { print, complain, columns }: Output,
): Promise<number> {
  const [{ body }, { body: health }] = await Promise.all([
    ask(path, 'GET', '/status'),
    ask(path, 'GET', '/healthz'),
  ]);
  const found = known(path, body, 'arbiter') as Status;
  print(json ? JSON.stringify(found, null, 2) : statusTable(found, columns));
  const { healthy, reason } = health as Health;
  if (!healthy) complain(`fasticorn: not healthy: ${reason}`);
  if (isElsewhere(found))
    complain(`fasticorn: this server runs in another container, with pid ${found.arbiter.pid}`);
  return healthy && !isElsewhere(found) ? ExitCode.ok : ExitCode.usage;
}

/** @throws UserError if the answer is not one of ours: an app may listen there as well. */
function known(path: string, body: unknown, key: string): unknown {
  if (typeof body === 'object' && body !== null && key in body) return body;
  throw new UserError(`${path}: who listens there is not a fasticorn's control socket`);
}

/**
 * Whether the answer came from another container: during a takeover both reach the one that has the path, and a
 * health check must not take it for its own.
 */
function isElsewhere({ arbiter: { pidNamespace } }: Status): boolean {
  try {
    return pidNamespace !== null && pidNamespace !== readlinkSync('/proc/self/ns/pid');
  } catch {
    return false;
  }
}
