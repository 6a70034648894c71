/**
 * Which file `<app>` names: a file, a directory or a package, and after a colon one of its exports. Knows how Node finds
 * modules; loads nothing.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { ExitCode, UserError } from './errors.ts';
import type { AppSpec } from './protocol.ts';

/** A file to load, with the links in its path as they are, and the export to serve. */
export interface AppFile {
  file: string;
  exportName: string | undefined;
}

/** What a file may be called that was named without its extension, or not at all: `./server`, `./app/`. */
const EXTENSIONS = ['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts'];

/** The conditions of `import`, in the exports of a package. */
const CONDITIONS = ['node-addons', 'node', 'import', 'module-sync', 'default'];

/**
 * Finds the app. A colon that is part of an existing file's name is no separator.
 *
 * @param spec `./app.js`, `./app.js:build`, `./service` (a directory, by its package.json or its index), `@scope/package`.
 * @param directory the absolute path of what relative paths start from.
 * @throws UserError if there is no such file or package, or it may not be looked at.
 */
export function findApp(spec: AppSpec, directory: string): AppFile {
  try {
    return find(spec, directory);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${spec}: cannot be read: ${(error as Error).message}`, ExitCode.appFailed);
  }
}

function find(spec: AppSpec, directory: string): AppFile {
  const whole = findModule(spec, directory);
  if (whole) return { file: whole, exportName: undefined };
  const colon = spec.lastIndexOf(':');
  const name = colon > 0 ? spec.slice(0, colon) : spec;
  const file = name === spec ? undefined : findModule(name, directory);
  const exportName = spec.slice(colon + 1);
  // The default export is what is meant without a name.
  if (file) return { file, exportName: ['', 'default'].includes(exportName) ? undefined : exportName };
  const hint =
    emptyDirectory(resolve(directory, spec)) ??
    emptyDirectory(resolve(directory, name)) ??
    'give it as ./app.mjs or ./app.mjs:export';
  throw new UserError(
    `${spec}: there is no such file or package, seen from ${directory}; ${hint}`,
    ExitCode.appFailed,
  );
}

/** Why no app is found in a directory; undefined if it is none. */
function emptyDirectory(path: string): string | undefined {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return undefined;
  const { main, exports } = manifestOf(path) ?? {};
  const entry = main ?? entryOf(exports, '.');
  return typeof entry === 'string'
    ? `the package.json in this directory names ${entry}, which is not there: build it, or correct package.json`
    : 'this directory has neither an index.js nor a package.json that names a file: name the file of the app';
}

function findModule(name: string, directory: string): string | undefined {
  const path = resolve(directory, name);
  if (existsSync(path) && !statSync(path).isFile()) return entryOfDirectory(path, directory);
  return withExtension(path) ?? findPackage(name, directory);
}

/** The path itself, or with the extension that was left out. */
function withExtension(path: string): string | undefined {
  return ['', ...EXTENSIONS].map((extension) => path + extension).find(isFile);
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** As for a package: what its package.json says, or an index. */
function entryOfDirectory(directory: string, from: string): string | undefined {
  const entry = entryOf(exportsOf(directory), '.');
  return (
    (entry && withExtension(join(directory, entry))) ??
    required(directory, from) ??
    withExtension(join(directory, 'index'))
  );
}

function findPackage(name: string, directory: string): string | undefined {
  const found = required(name, directory);
  if (found) return found;
  // What is for `import` alone is not seen by require, and Node resolves like an import only for whom it has loaded.
  const [, packageName, subpath = ''] = /^((?:@[^/]+\/)?[^./@][^/]*)(\/.+)?$/.exec(name) ?? [];
  if (packageName === undefined) return undefined;
  for (const modules of createRequire(join(directory, 'app')).resolve.paths(packageName) ?? []) {
    const root = join(modules, packageName);
    const entry = entryOf(exportsOf(root), `.${subpath}`);
    if (entry) return withExtension(join(root, entry));
  }
  return undefined;
}

function required(name: string, directory: string): string | undefined {
  try {
    const found = createRequire(join(directory, 'app')).resolve(name);
    // Not one of Node's own modules.
    return isFile(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** The `exports` of the package in a directory, as they are written. */
function exportsOf(directory: string): unknown {
  return manifestOf(directory)?.exports;
}

/** The package.json in a directory, if there is one that makes sense. */
export function manifestOf(
  directory: string,
): { main?: unknown; exports?: unknown; type?: unknown } | undefined {
  try {
    return Object(JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')));
  } catch {
    return undefined;
  }
}

/** The file that `import` would take for a subpath (`.` for the package itself), relative to the package. */
function entryOf(exports: unknown, subpath: string): string | undefined {
  if (typeof exports === 'string') return subpath === '.' ? exports : undefined;
  if (Array.isArray(exports)) return first(exports, (one) => entryOf(one, subpath));
  if (typeof exports !== 'object' || exports === null) return undefined;
  const entries = Object.entries(exports);
  if (entries.some(([key]) => key.startsWith('.'))) {
    const target = entries.find(([key]) => key === subpath)?.[1];
    return target === undefined ? undefined : entryOf(target, '.');
  }
  return first(entries, ([key, value]) => (CONDITIONS.includes(key) ? entryOf(value, subpath) : undefined));
}

function first<T>(all: readonly T[], find: (one: T) => string | undefined): string | undefined {
  for (const one of all) {
    const found = find(one);
    if (found !== undefined) return found;
  }
  return undefined;
}
