/**
 * Reads a config file: JSON, or JavaScript or TypeScript that runs in a process of its own. So each read sees fresh
 * code, with all that it imports, and a file that throws, ends its process or never comes to an end can't harm the
 * running server. What the keys mean is the business of `config/load.ts`.
 */
import type { ChildProcess } from 'node:child_process';
import { readFile, realpath } from 'node:fs/promises';
import { extname, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { gunicornSetting } from './config/gunicorn.ts';
import { lineOfKey } from './config/key-line.ts';
import type { ConfigFile } from './config/load.ts';
import { type SettingName, settings } from './config/settings.ts';
import { nearest } from './config/spelling.ts';
import { spawnConfigProcess } from './config-process.ts';
import { errorCode, UserError } from './errors.ts';
import { type HookName, hookNames } from './events.ts';
import { startError } from './start-error.ts';

/** What a file is read with. */
export interface ReadOptions {
  /** What a relative path starts from, and what code has as its working directory. */
  directory: string;
  /** What code has as its environment. */
  env: Readonly<Record<string, string | undefined>>;
  /** How long code may take, in seconds. */
  limit?: number;
  /** Ends code early. */
  signal?: AbortSignal | undefined;
}

/** What the process of a file says: the entries of its default export and its hooks, or what went wrong. */
type Answer =
  | { entries: [string, unknown][]; hooks: HookName[] }
  | { key: string; type: string }
  | { mistake: string }
  | { name: string; message: string; stack: string };

/** What the name of a config file may end in, in the order in which people are told. */
export const EXTENSIONS = ['.ts', '.mts', '.js', '.mjs', '.cjs', '.json'] as const;

/**
 * Reads `.json`, or the default export of a module (`module.exports` of CommonJS): an object of plain data, a promise
 * of one, or a function that returns either. Functions in it are hooks, which are not run.
 *
 * @param path as people know it: messages name it so.
 * @throws UserError of one line with the place in the file.
 */
export async function readConfigFile(path: string, options: ReadOptions): Promise<ConfigFile> {
  const extension = extname(path);
  if (!EXTENSIONS.some((one) => one === extension)) {
    throw new UserError(`${path}: expected a config file that ends in one of ${EXTENSIONS.join(', ')}`);
  }
  let file: string;
  let source: string;
  try {
    file = await realpath(resolve(options.directory, path));
    source = (await readFile(file, 'utf8')).replace(/^\uFEFF/, '');
  } catch (error) {
    throw new UserError(`${path}: cannot read the config file: ${reason(error)}`);
  }
  const lineOf = (key: string) => lineOfKey(source, key);
  const oddity = (key: string, what: string) => {
    const line = lineOf(key);
    return new UserError(`${path}${line === undefined ? '' : `:${line}`}: ${JSON.stringify(key)} ${what}`);
  };
  if (extension === '.json') {
    const values = parseJson(path, source);
    const hook = hookNames.find((name) => Object.hasOwn(values, name));
    if (hook) throw oddity(hook, 'is a hook, a function, and JSON has none: use fasticorn.config.mjs');
    for (const [key, value] of Object.entries(values)) {
      const isMode = Object.hasOwn(settings, key) && settings[key as SettingName].kind.isOctal;
      if (!isMode || typeof value !== 'number' || value === 0) continue;
      const meant = `0${String(value).padStart(3, '0')}`;
      throw oddity(
        key,
        `is the number ${value}, and JSON has none in octal: write it as text, such as "${meant}"`,
      );
    }
    return { path, values, lineOf };
  }

  const answer = await runFile(path, file, options);
  if ('entries' in answer) {
    const { entries, hooks: names } = answer;
    const found = names.length > 0 && { hooks: { path, file, names } };
    return { path, values: Object.fromEntries(entries), ...found, lineOf };
  }
  if ('mistake' in answer) throw new UserError(`${path}: ${answer.mistake}`);
  if ('key' in answer) throw oddity(answer.key, `is ${answer.type}: ${expectedAt(answer)}`);
  const { place, culprit } = placeOf(answer.stack, path, file);
  throw new UserError(`${place}: ${onOneLine(answer, file)}${remedy(answer, culprit)}`);
}

/** What to do about `export` in a file that is CommonJS by its package.json, as `npm init` makes them. */
function remedy({ name, message }: { name: string; message: string }, culprit: string): string {
  const isModule = /^(Unexpected token 'export'|Cannot use import statement outside a module)/.test(message);
  if (name !== 'SyntaxError' || !isModule) return '';
  const right = culprit.replace(/\.(js|cjs|ts)$/, (end) => (end === '.ts' ? '.mts' : '.mjs'));
  return right === culprit ? '' : ` (the file counts as CommonJS; an ES module has the name ${right})`;
}

/** What would be right in the place of something odd. */
function expectedAt({ key, type }: { key: string; type: string }): string {
  if (hookNames.some((name) => name === key)) return 'expected a function, as it is a hook';
  const data = 'expected a string, a number, true, false, or an array or an object of those';
  if (type !== 'a function' || Object.hasOwn(settings, key)) return data;
  const gunicorns = gunicornSetting(key);
  if (gunicorns?.why !== undefined) return `only Gunicorn has that: ${gunicorns.why}`;
  const hook = hookNames.find((name) => name === gunicorns?.ours) ?? nearest(key, hookNames);
  return hook ? `did you mean the hook ${hook}?` : `no hook has that name; there are ${hookNames.join(', ')}`;
}

function reason(error: unknown): string {
  const reasons: Record<string, string> = {
    ENOENT: 'it does not exist',
    EISDIR: 'it is a directory',
    EACCES: 'permission denied',
  };
  return reasons[errorCode(error) ?? ''] ?? (error as Error).message;
}

function parseJson(path: string, source: string): Record<string, unknown> {
  let values: unknown;
  try {
    values = JSON.parse(source);
  } catch (error) {
    const { message } = error as Error;
    const before = source.slice(0, jsonErrorAt(source, message)).split('\n');
    const what = message
      .replace(/( in JSON at position|, (\.\.\.)?"[\s\S]* is not valid JSON)[\s\S]*$/, '')
      // The character that is wrong may be the end of a line.
      .replace(/\p{Cc}/gu, (one) => JSON.stringify(one).slice(1, -1));
    throw new UserError(`${path}:${before.length}:${before.at(-1)!.length + 1}: not valid JSON: ${what}`);
  }
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw new UserError(`${path}: expected an object of settings, such as { "workers": 4 }`);
  }
  // It tells editors where the schema is.
  const { $schema, ...settings } = values as Record<string, unknown>;
  return settings;
}

/** Where JSON is wrong. Node says so, except of a character that cannot stand where it does. */
function jsonErrorAt(source: string, message: string): number {
  const position = / at position (\d+)/.exec(message)?.[1];
  if (position !== undefined) return Number(position);
  if (!message.startsWith('Unexpected token')) return source.length;
  // Such a character ends the shortest beginning of the text of which Node says the same.
  let [good, bad] = [0, source.length];
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2);
    if (hasWrongToken(source.slice(0, middle))) bad = middle;
    else good = middle;
  }
  return good;
}

function hasWrongToken(source: string): boolean {
  try {
    JSON.parse(source);
    return false;
  } catch (error) {
    return (error as Error).message.startsWith('Unexpected token');
  }
}

/** What runs in the process of a file with code, given its path; the answer goes to file descriptor 3. */
const PROGRAM = `
import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { formatWithOptions } from 'node:util';

const hookNames = ${JSON.stringify(hookNames)};
const file = process.argv[1];

function answer(data) {
  const bytes = Buffer.from(JSON.stringify(data) + '\\n');
  for (let sent = 0; sent < bytes.length; ) sent += writeSync(3, bytes, sent);
  process.exit();
}

function fail(error) {
  if (error instanceof Mistake) answer({ mistake: error.message });
  let stack = String(error?.stack ?? '');
  // Only the report of a process that dies of it says where the syntax of a module is wrong.
  if (error instanceof SyntaxError && !/^(file:|\\/).*:\\d+\\n/.test(stack)) {
    const options = { encoding: 'utf8', timeout: 3000, stdio: ['ignore', 'ignore', 'pipe'] };
    stack = spawnSync(process.execPath, [file], options).stderr + stack;
  }
  const said = error?.message ?? formatWithOptions({ breakLength: Infinity }, error);
  answer({ name: String(error?.name ?? 'Error'), message: String(said), stack });
}

function typeOfOddity(value) {
  if (value === undefined || value === null || ['string', 'boolean'].includes(typeof value)) return;
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : String(value);
  if (Array.isArray(value)) return value.some(typeOfOddity) && 'an array with something else in it';
  if (value instanceof Promise) return 'a promise (await it)';
  if (typeof value !== 'object') return typeName(value);
  if (![Object.prototype, null].includes(Object.getPrototypeOf(value))) return 'no plain object';
  return Object.values(value).some(typeOfOddity) && 'an object with something else in it';
}

function typeName(value) {
  return (typeof value === 'object' ? 'an ' : 'a ') + typeof value;
}

process.on('uncaughtException', fail);
try {
  const values = await load(file);
  const entries = [];
  const hooks = [];
  for (const [key, value] of Object.entries(values)) {
    const isHook = hookNames.includes(key);
    const type = isHook ? typeof value !== 'function' && value != null && typeName(value) : typeOfOddity(value);
    if (type) answer({ key, type });
    if (!isHook) entries.push([key, value]);
    else if (value != null) hooks.push(key);
  }
  answer({ entries, hooks });
} catch (error) {
  fail(error);
}
`;

/** Runs a file with code in a process of its own, which is gone when this returns. */
function runFile(
  path: string,
  file: string,
  { directory, env, limit = 10, signal }: ReadOptions,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const failed = ({ message }: Error) =>
      reject(new UserError(`${path}: cannot run the config file: ${message}`));
    let child: ChildProcess;
    try {
      // What the file prints goes to standard error: standard output belongs to the access log and `--print-config`.
      child = spawnConfigProcess(PROGRAM, [file], {
        cwd: directory,
        env,
        stdio: ['ignore', 2, 2, 'pipe'],
        ...(signal && { signal, killSignal: 'SIGKILL' }),
      });
    } catch (error) {
      failed(error as Error);
      return;
    }
    const kill = () => child.kill('SIGKILL');
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      kill();
    }, limit * 1000);
    process.once('exit', kill);
    const done = () => {
      clearTimeout(timer);
      process.off('exit', kill);
    };

    child.on('error', (error) => {
      done();
      failed(startError(error, directory));
    });
    let text = '';
    // Undefined, whatever its type says, if there were too few descriptors for a process.
    const pipe = child.stdio?.[3] as Readable | undefined;
    pipe?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      // Its exit handlers are not waited for.
      if (text.endsWith('\n')) kill();
    });
    child.on('close', (code, signal) => {
      done();
      const answer = answerIn(text);
      if (answer) resolve(answer);
      else if (isLate) resolve({ mistake: `it was not done after ${limit} seconds` });
      else if (code === 13) resolve({ mistake: 'it waits for a promise that nobody will ever settle' });
      else
        resolve({
          mistake: `its process ended (${signal ?? `exit code ${code}`}) before its default export was there`,
        });
    });
  });
}

/** The answer, if it is whole and the program's own; a file may write to any descriptor. */
function answerIn(text: string): Answer | undefined {
  try {
    const answer = JSON.parse(text) as Answer;
    return typeof answer === 'object' ? answer : undefined;
  } catch {
    return undefined;
  }
}

/** The place of an error, and its file: the line of the config file if the stack has one, else also that of another file. */
function placeOf(stack: string, path: string, file: string): { place: string; culprit: string } {
  const names = [pathToFileURL(file).href, file].map(escaped);
  const line = new RegExp(`(?:${names.join('|')}):(\\d+)`).exec(stack)?.[1];
  if (line !== undefined) return { place: `${path}:${line}`, culprit: path };
  const elsewhere = /(?:file:\/\/)?(\/[^\s()]+):(\d+)(?=[:\s)])/.exec(stack.replace(/\(?node:\S+/g, ''));
  if (!elsewhere) return { place: path, culprit: path };
  const [, culprit = '', at] = elsewhere;
  return { place: `${path}: ${culprit}:${at}`, culprit };
}

function escaped(path: string): string {
  return path.replace(/[^\w/]/g, '\\$&');
}

function onOneLine({ name, message }: { name: string; message: string }, file: string): string {
  const [whole = ''] = message.split('\nRequire stack:');
  // tsx and jiti repeat the place.
  const text = whole.replaceAll(new RegExp(`${escaped(file)}:\\d+:\\d+(: ERROR:)?`, 'g'), '');
  const line = `${name === 'Error' ? '' : `${name}: `}${text}`.replace(/[\s\p{Cc}]+/gu, ' ').trim();
  return line.length > 500 ? `${line.slice(0, 500)}…` : line || 'it threw an error without a message';
}
