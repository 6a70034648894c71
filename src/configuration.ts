/**
 * The whole configuration, as it is at this moment: finds and reads the config file, and makes paths absolute. Called
 * again at each reload. What wins over what is the business of `config/load.ts`.
 */

import { statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { type Address, formatAddress, isUnix } from './address.ts';
import { namedConfigFile, readCommandLine, winningAction } from './config/command-line.ts';
import { type ConfigFile, type Loaded, load } from './config/load.ts';
import { invalid } from './config/origin.ts';
import { type Config, type Machine, type SettingName, settings } from './config/settings.ts';
import { EXTENSIONS, readConfigFile } from './config-file.ts';
import { errorCode, UserError } from './errors.ts';
import { controlPath } from './status.ts';

/** What the configuration is made from. */
export interface Input {
  /** The command line without `node` and the script. */
  argv: readonly string[];
  env: Readonly<Record<string, string | undefined>>;
  machine: Machine;
  /** The absolute path of the directory that the operator is in; see `startDirectory`. */
  directory: string;
  /** Sockets that systemd has passed on: they replace every `bind`. */
  activated?: readonly Address[];
  /** Gives up on a config file that takes its time. */
  signal?: AbortSignal | undefined;
}

/** What the operator asked for, with absolute paths. */
export interface Configured extends Loaded {
  config: Config & { chdir: string };
}

/** The files that are looked for where none is named; there may be one of them. */
const CONFIG_FILES = EXTENSIONS.map((extension) => `fasticorn.config${extension}`);

/**
 * Makes the configuration. The app stays as it was typed, relative to `chdir`.
 *
 * @throws UserError of one line that names the flag, variable or line of the file, its value and what was expected.
 */
export async function configure(input: Input): Promise<Configured> {
  const { argv, env, machine, directory, activated = [] } = input;
  // Who asks for help because the file is wrong gets it.
  const asksForHelp = winningAction(argv) !== undefined;
  const needsFile = !asksForHelp && !namesServer(argv);
  const { path, loaded: asked } = needsFile
    ? await loadWithFile(input)
    : { loaded: load(argv, env, machine) };
  const loaded = withActivated(asked, activated);
  const chdir = resolve(directory, loaded.config.chdir ?? '.');
  // A running server may be stopped after its directory is gone.
  if (!asksForHelp && !loaded.verb) await expectDirectory(chdir, loaded);

  const absolute = <T extends string | undefined>(path: T, ...words: string[]): T =>
    (path === undefined || words.includes(path) ? path : resolve(chdir, path)) as T;
  const { config } = loaded;
  const absoluteAddress = (address: Address): Address =>
    address.kind === 'unix' ? { kind: 'unix', path: absolute(address.path) } : address;
  const bind = config.bind.map(absoluteAddress);
  const adopt = config.adopt.map(({ port, to }) => ({ port, to: to === 'first' ? to : absoluteAddress(to) }));
  const controlSocket = absolute(config.controlSocket, 'off');
  refuseSameTwice(bind, loaded);
  refuseControlAmong(bind, controlSocket, loaded);
  refuseOddAdoptions(adopt, bind, loaded);
  const files = {
    pid: absolute(config.pid),
    accessLogfile: absolute(config.accessLogfile, '-', 'off'),
    errorLogfile: absolute(config.errorLogfile, '-'),
  };
  if (!loaded.verb) {
    refuseHalfTls(loaded);
    refuseSocketsAsFiles(files, { bind, controlSocket }, loaded);
  }
  return {
    ...loaded,
    config: {
      ...config,
      chdir,
      bind,
      adopt,
      config: path === undefined ? undefined : resolve(directory, path),
      ...files,
      controlSocket,
      watchExtra: config.watchExtra?.map((path) => absolute(path)),
      certfile: absolute(config.certfile),
      keyfile: absolute(config.keyfile),
      // A bare name is looked for in PATH.
      node: config.node?.includes('/') ? absolute(config.node) : config.node,
    },
  };
}

/** Where a command may need no file at all, a mistake in it says so. */
async function loadWithFile(input: Input): Promise<{ loaded: Loaded; path?: string | undefined }> {
  const { argv, env, machine } = input;
  try {
    const file = await findConfigFile(input);
    return { loaded: load(argv, env, machine, file), path: file?.path };
  } catch (error) {
    const way = error instanceof UserError ? wayWithoutFile(input) : undefined;
    if (!(error instanceof UserError) || !way) throw error;
    throw new UserError(`${error.message}; ${way}`, error.exitCode);
  }
}

/** How the command does without the file, if all else is right. For a reload or an upgrade the server itself reads it. */
function wayWithoutFile({ argv, env, machine, directory }: Input): string | undefined {
  let loaded: Loaded;
  try {
    loaded = load(argv, env, machine);
  } catch {
    return undefined;
  }
  const { verb, config, origins } = loaded;
  if (!verb || verb.name === 'reload' || verb.name === 'upgrade') return undefined;
  const isBound = origins.bind.from !== 'default' && config.bind.some(({ kind }) => kind === 'unix');
  const known = isBound || origins.controlSocket.from !== 'default' ? controlPath(config, 0) : undefined;
  const path = known ? resolve(directory, config.chdir ?? '.', known) : '/path/to/app.sock.ctl';
  return `${verb.name} works without this file if you add --control-socket ${path}`;
}

function withActivated(loaded: Loaded, activated: readonly Address[]): Loaded {
  if (activated.length === 0) return loaded;
  const { config, origins } = loaded;
  return {
    ...loaded,
    config: { ...config, bind: [...activated] },
    origins: { ...origins, bind: { from: 'env', name: 'LISTEN_FDS' } },
  };
}

/** Whether the flags alone say which running server is meant: then a file that is wrong keeps nobody from stopping it. */
function namesServer(argv: Input['argv']): boolean {
  const { verb, given } = readCommandLine(argv);
  const isPlace = (name: SettingName) => /^(unix:)?\//.test(String(given.get(name)?.value));
  return verb !== undefined && (isPlace('controlSocket') || (isPlace('pid') && !given.has('bind')));
}

async function findConfigFile(from: Omit<Input, 'machine' | 'activated'>): Promise<ConfigFile | undefined> {
  const { argv, env, directory, signal } = from;
  const named = namedConfigFile(argv, env);
  if (named) {
    const { path, origin } = named;
    if (await isThere(resolve(directory, path))) return readConfigFile(path, { directory, env, signal });
    const where = isAbsolute(path) ? 'it does not exist' : `there is none in ${directory}`;
    throw invalid('config', { value: path, origin }, `expected a file, but ${where}`);
  }
  const isFound = await Promise.all(CONFIG_FILES.map((path) => isThere(resolve(directory, path))));
  const [path, other] = CONFIG_FILES.filter((_, index) => isFound[index]);
  if (path === undefined) return undefined;
  if (other === undefined) return readConfigFile(path, { directory, env, signal });
  throw new UserError(
    `${path} and ${other} are both in ${directory}: keep one of them, or name one: -c ${path}`,
  );
}

/** What cannot be looked at is there: who reads it finds out why. */
async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    return !['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '');
  }
}

async function expectDirectory(path: string, { config, origins: { chdir: origin } }: Loaded): Promise<void> {
  let trouble: string;
  try {
    if ((await stat(path)).isDirectory()) return;
    trouble = 'is none';
  } catch (error) {
    trouble = errorCode(error) === 'ENOENT' ? 'does not exist' : `is not usable: ${(error as Error).message}`;
  }
  if (origin.from === 'default') throw new UserError(`the working directory ${path} ${trouble}`);
  const where = isAbsolute(config.chdir!) ? 'it' : path;
  throw invalid('chdir', { value: config.chdir, origin }, `expected a directory, but ${where} ${trouble}`);
}

/** Two addresses that differ as text may be the same in the end. */
function refuseSameTwice(bind: Address[], { config, origins: { bind: origin } }: Loaded): void {
  const texts = bind.map(formatAddress);
  const twice = texts.find((text, index) => texts.indexOf(text) < index);
  if (twice === undefined || origin.from === 'default') return;
  const value = settings.bind.kind.show(config.bind);
  throw invalid('bind', { value, origin }, `expected each only once, got ${JSON.stringify(twice)} twice`);
}

/** Apps and operators have sockets of their own. */
function refuseControlAmong(
  bind: Address[],
  controlSocket: string | undefined,
  { config, origins }: Loaded,
): void {
  const path = controlPath({ bind, controlSocket }, 0);
  if (!bind.some((address) => address.kind === 'unix' && address.path === path)) return;
  const name = controlSocket === undefined ? 'bind' : 'controlSocket';
  const origin = origins[name];
  if (origin.from === 'default') return;
  const value = name === 'bind' ? settings.bind.kind.show(config.bind) : config.controlSocket;
  throw invalid(
    name,
    { value, origin },
    `expected another path than that of ${name === 'bind' ? 'the control socket' : 'a --bind'}, ${path}`,
  );
}

/** A worker would make its log where the socket is to be, and nobody could start there any more. */
function refuseSocketsAsFiles(
  files: Pick<Config, 'pid' | 'accessLogfile' | 'errorLogfile'>,
  { bind, controlSocket }: Pick<Config, 'bind' | 'controlSocket'>,
  { config, origins }: Loaded,
): void {
  const sockets = bind.flatMap((address) => (address.kind === 'unix' ? [address.path] : []));
  const control = controlPath({ bind, controlSocket }, 0);
  for (const name of ['pid', 'accessLogfile', 'errorLogfile'] as const) {
    const path = files[name];
    const origin = origins[name];
    if (path === undefined || origin.from === 'default') continue;
    const isSocket = sockets.includes(path) || path === control;
    if (!isSocket && (name === 'pid' || path !== files.pid)) continue;
    const expected = isSocket
      ? `a file, but a socket is to be at ${path}`
      : `another file than that of --pid, ${path}`;
    throw invalid(name, { value: config[name], origin }, `expected ${expected}`);
  }
}

/** Each is of a socket that is bound, or was passed on, and one of those stays for the app's first port. */
function refuseOddAdoptions(
  adopt: Config['adopt'],
  bind: readonly Address[],
  { config, origins: { adopt: origin } }: Loaded,
): void {
  const taken = adopt.flatMap(({ to }) => (to === 'first' ? [] : [formatAddress(to)]));
  if (taken.length === 0 || origin.from === 'default') return;
  const given = { value: settings.adopt.kind.show(config.adopt), origin };
  const bound = bind.map(formatAddress);
  const stranger = taken.find((one) => !bound.includes(one));
  if (stranger !== undefined) {
    const others = `none of those that are bound (${bound.join(', ')})`;
    throw invalid('adopt', given, `expected the address of a --bind, but ${stranger} is ${others}`);
  }
  if (bound.every((one) => taken.includes(one)))
    throw invalid('adopt', given, 'expected one --bind at least to stay for the first port of the app');
}

/** TLS takes a certificate, its key, and a port to be spoken on; HTTP/2 takes TLS. */
function refuseHalfTls({ config, origins }: Loaded): void {
  if (config.http2 && config.certfile === undefined && origins.http2.from !== 'default') {
    const given = { value: true, origin: origins.http2 };
    throw invalid('http2', given, 'expected --certfile and --keyfile with it: HTTP/2 is for TLS clients');
  }
  for (const [one, other] of [
    ['certfile', 'keyfile'],
    ['keyfile', 'certfile'],
  ] as const) {
    const origin = origins[one];
    if (config[one] === undefined || origin.from === 'default') continue;
    const given = { value: config[one], origin };
    if (config[other] === undefined) throw invalid(one, given, `expected --${other} with it`);
    // What a passed descriptor is turns out only later.
    if (config.bind.every(isUnix))
      throw invalid(one, given, 'expected a --bind with a TCP port: on a Unix socket there is no TLS');
  }
}

/**
 * The directory that the operator is in. A shell's PWD keeps a symbolic link as it was typed, such as the `current`
 * of a deployment, whose target may change; but it is only believed if it is the same directory.
 *
 * @param cwd `process.cwd()`, which has no links; undefined if that was deleted: then PWD says how it was called.
 */
export function startDirectory(cwd: string | undefined, pwd: string | undefined): string {
  if (!pwd || !isAbsolute(pwd)) return cwd ?? '/';
  if (cwd === undefined) return resolve(pwd);
  try {
    const [a, b] = [statSync(cwd, { bigint: true }), statSync(pwd, { bigint: true })];
    return a.dev === b.dev && a.ino === b.ino ? resolve(pwd) : cwd;
  } catch {
    return cwd;
  }
}
