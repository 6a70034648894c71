/**
 * What a worker process is started with: Node's flags and the environment. Finds out whether that can work before
 * anything is started, by asking a Node that runs nothing of the app's. Starting workers is the arbiter's business.
 */
import { execFile } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { findApp } from './app-file.ts';
import { type CacheUser, compileCache } from './compile-cache.ts';
import type { Loaded } from './config/load.ts';
import { limitsHeap, splitFlags, stripsTypes, typeScriptLoaderIn } from './config/node-flags.ts';
import { invalid } from './config/origin.ts';
import type { Machine, SettingName } from './config/settings.ts';
import { UserError } from './errors.ts';
import { heapLimit, heapNote } from './heap.ts';
import { OURS, WORKER } from './places.ts';
import { isTypeScript, type TypeScriptLoading, typeScriptLoading } from './typescript.ts';
import { type Environment, readEnvFiles, workerEnv } from './worker-env.ts';

/** What workers are started with. */
export interface Launch {
  /** Node's flags, which come before the worker's own script. */
  flags: readonly string[];
  /** Whether a worker, or all of them and the arbiter, may have less memory than there is. */
  isMemoryLimited: boolean;
  env: Environment;
  /** What the operator may want to know about that, a line each. */
  notes: readonly string[];
}

/** Where the workers are to be started. */
export interface Surroundings {
  /** The arbiter's environment. */
  env: Environment;
  /** The flags of Node that the arbiter runs with; workers get them too. */
  execArgv: readonly string[];
  machine: Machine;
  /** How a program is started as the user of the workers; absent if that is who we are. */
  runAs?: RunAs | undefined;
  /** Who that is; absent if the workers are to keep no compiled code. */
  cacheUser?: CacheUser;
}

type RunAs = (
  program: string,
  args: readonly string[],
) => { file: string; args: readonly string[]; options: { uid?: number; gid?: number } };

/**
 * Decides how the workers of a generation are started.
 *
 * @throws UserError of one line if a module, a file or a flag is not there, nothing runs the app's TypeScript, or we have
 * been removed since we were started.
 */
export async function prepareLaunch(
  loaded: Loaded,
  { env: ownEnv, execArgv, machine, runAs, cacheUser }: Surroundings,
): Promise<Launch> {
  if (!existsSync(WORKER))
    throw new UserError(
      `fasticorn itself is gone from ${OURS}, where this server was started: put it back, or upgrade or restart the server`,
    );
  const { config } = loaded;
  const directory = config.chdir ?? '.';
  const file = fileOf(loaded.app, directory);
  const env = workerEnv({
    env: ownEnv,
    files: readEnvFiles(loaded, !!runAs),
    watch: config.watch,
    compileCache: file && cacheUser && compileCache(file, cacheUser),
  });
  const given = config.nodeOptions === undefined ? [] : splitFlags(config.nodeOptions);
  const run: RunNode = (args) => runNode(args, { cwd: directory, env, runAs });
  await Promise.all([expectKnownFlags(given, loaded, run), expectModules(loaded, directory, run)]);
  const { import: imports = [], require: requires = [] } = config;
  const preloads = [...requires.map(flagOf('require')), ...imports.map(flagOf('import'))];
  const all = [...execArgv, ...words(env.NODE_OPTIONS), ...given, ...preloads];
  const typeScript = file === undefined ? undefined : loadingOf(file, all);
  const isHeapLimited = limitsHeap(all);
  const heap = isHeapLimited ? undefined : heapLimit(machine.memory, config.workers, ownHeapLimit);
  return {
    flags: [
      ...execArgv,
      ...(heap === undefined ? [] : [`--max-old-space-size=${heap}`]),
      ...(typeScript || config.watch ? ['--enable-source-maps'] : []),
      ...(typeScript?.flags ?? []),
      ...given,
      ...preloads,
    ],
    isMemoryLimited: machine.memory !== undefined || isHeapLimited || config.maxMemory > 0,
    // So that @fastify/autoload looks for .ts files, which it does by itself for a few loaders only.
    env: typeScript ? { FASTIFY_AUTOLOAD_TYPESCRIPT: '1', ...env } : env,
    notes: [
      ...(typeScript ? [typeScript.note] : []),
      ...(heap === undefined ? [] : [heapNote(heap, machine.memory!, config.workers)]),
    ],
  };
}

const flagOf = (name: string) => (value: string) => `--${name}=${value}`;

/** The limit that V8 chooses by itself, in bytes. Few machines need it, so that its module is not imported. */
const ownHeapLimit = () => process.getBuiltinModule('node:v8').getHeapStatistics().heap_size_limit;

/** The flags in NODE_OPTIONS. What is wrong there Node says itself. */
function words(text: string | undefined): string[] {
  try {
    return splitFlags(text ?? '');
  } catch {
    return [];
  }
}

/** The app's file by its true path. An app that cannot be found is left to the worker, which says so. */
function fileOf(app: string | undefined, directory: string): string | undefined {
  try {
    return realpathSync(findApp(app ?? '', directory).file);
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

/** How the app is run if it is TypeScript. */
function loadingOf(
  file: string,
  flags: readonly string[],
): (Pick<TypeScriptLoading, 'flags'> & { note: string }) | undefined {
  if (!isTypeScript(file)) return undefined;
  const own = typeScriptLoaderIn(flags);
  const { flags: more, text } = own
    ? { flags: [], text: `through ${own}, which Node's flags name` }
    : typeScriptLoading(file, {
        version: process.versions.node,
        stripsTypes: !!(process.features as { typescript?: unknown }).typescript || stripsTypes(flags),
      });
  return { flags: more, note: `${basename(file)} is TypeScript and runs ${text}` };
}

/** A flag that no Node knows: if it is all that Node complains of, it has read everything before as flags. */
const UNKNOWN = '--no-such-flag-of-node';

/** Has Node read the flags. It ends at that: it is asked for its version first, and the last flag is unknown. */
async function expectKnownFlags(flags: readonly string[], loaded: Loaded, run: RunNode): Promise<void> {
  if (flags.length === 0) return;
  const { stderr } = await run(['--version', ...flags, UNKNOWN]);
  const complaints = stderr.split('\n').filter((line) => /\S/.test(line));
  const [complaint] = complaints.filter((line) => !line.endsWith(`bad option: ${UNKNOWN}`));
  if (complaint === undefined && complaints.length > 0) return;
  const reason = complaint?.replace(/^(\S*node\S*|Error): /, '') ?? 'a word that is no flag is among them';
  refuse('nodeOptions', loaded.config.nodeOptions, loaded, `Node does not take these flags: ${reason}`);
}

/** Resolves the modules as Node will when it preloads them, and loads none: `[imports, requires]` → what is wrong. */
const RESOLVE = `
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
const [imports, requires] = JSON.parse(process.argv[1]);
const require = createRequire(process.cwd() + '/noop.js');
const attempt = (resolve) => (specifier) => {
  try {
    const found = resolve(specifier);
    return /^file:/.test(found) && !existsSync(fileURLToPath(found)) ? 'it does not exist' : null;
  } catch (error) {
    return String(error.message).split('\\n')[0].replace(/,? imported from .*/, '');
  }
};
console.log(JSON.stringify([imports.map(attempt(import.meta.resolve)), requires.map(attempt(require.resolve))]));
`;

async function expectModules(loaded: Loaded, directory: string, run: RunNode): Promise<void> {
  const { import: imports = [], require: requires = [] } = loaded.config;
  const lists = [imports, requires];
  if (lists.flat().length === 0) return;
  const { stdout } = await run(['--input-type=module', '--eval', RESOLVE, '--', JSON.stringify(lists)]);
  const answers = JSON.parse(stdout) as (string | null)[][];
  for (const [list, name] of (['import', 'require'] as const).entries()) {
    for (const [index, trouble] of answers[list]!.entries()) {
      if (trouble === null) continue;
      const value = lists[list]![index];
      refuse(name, value, loaded, `expected a module that is found from ${directory}: ${trouble}`);
    }
  }
}

function refuse(name: SettingName, value: unknown, { origins }: Loaded, expected: string): never {
  const { [name]: origin } = origins;
  if (origin.from === 'default') throw new UserError(expected);
  throw invalid(name, { value, origin }, expected);
}

type RunNode = (args: readonly string[]) => Promise<{ stdout: string; stderr: string }>;

/**
 * Runs the Node of the workers to its end, without the preloads that its environment asks for. As their user: the
 * variables of env files, which Node and its libraries obey, must not speak to root, and NODE_PATH among them counts.
 */
function runNode(
  nodeArgs: readonly string[],
  {
    cwd,
    env: { NODE_OPTIONS: _, ...env },
    runAs = (file, args) => ({ file, args, options: {} }),
  }: { cwd: string; env: Environment; runAs: RunAs | undefined },
): ReturnType<RunNode> {
  const { file, args, options } = runAs(process.execPath, nodeArgs);
  return new Promise((resolve, reject) => {
    execFile(file, args, { ...options, cwd, env, timeout: 10_000 }, (error, stdout, stderr) => {
      // An exit code is an answer; a process that could not be started, or had to be killed, has given none.
      if (!error || typeof error.code === 'number') resolve({ stdout, stderr });
      else
        reject(new UserError(`cannot check what workers are started with: ${error.message.split('\n')[0]}`));
    });
  });
}
