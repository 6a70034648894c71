/**
 * How a worker comes to run an app that is written in TypeScript: through the loader that its package lists, as it was
 * written for that one, or natively. Reads package.json files; runs nothing.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ExitCode, UserError } from './errors.ts';
import { upwards } from './upwards.ts';

/** The Node that runs the workers. */
export interface NodeFeatures {
  version: string;
  /** Whether it runs TypeScript by itself: 22.18 and newer, or told by a flag. */
  stripsTypes: boolean;
}

/** How TypeScript is run. */
export interface TypeScriptLoading {
  /** Flags that Node needs for that. */
  flags: string[];
  /** In a few words, for the log. */
  text: string;
}

interface Package {
  version?: string;
  exports?: Record<string, unknown>;
  [dependencies: string]: unknown;
}

const LOADERS = [
  { name: 'tsx', subpath: '.' },
  { name: 'jiti', subpath: './register' },
];
const LISTS = ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies'];

/** Whether a file is TypeScript. */
export function isTypeScript(file: string): boolean {
  return /\.[cm]?ts$/.test(file);
}

/**
 * Decides how a file is run.
 *
 * @param file the real path of the app.
 * @throws UserError of one line that says what to install, if nothing runs it.
 */
export function typeScriptLoading(file: string, node: NodeFeatures): TypeScriptLoading {
  const path = upwards(dirname(file), 'package.json');
  const own = path && readPackage(path);
  for (const { name, subpath } of LOADERS) {
    if (!own || !LISTS.some((list) => Object.hasOwn((own[list] as object | undefined) ?? {}, name))) continue;
    const found = upwards(dirname(path), join('node_modules', name, 'package.json'));
    const { version, exports } = (found && readPackage(found)) || {};
    const entry = entryOf(exports?.[subpath]);
    if (!found || entry === undefined) continue;
    const url = pathToFileURL(join(dirname(found), entry)).href;
    return { flags: [`--import=${url}`], text: `through ${name} ${version}, which its package.json lists` };
  }
  if (node.stripsTypes) return { flags: [], text: `natively, by Node ${node.version}` };
  throw new UserError(
    `${file}: Node ${node.version} does not run TypeScript by itself: npm install tsx in ` +
      `${path ? dirname(path) : dirname(file)}, or use Node 22.18 or newer`,
    ExitCode.appFailed,
  );
}

/** What `import` takes of an entry in `exports`. */
function entryOf(target: unknown): string | undefined {
  if (typeof target === 'string') return target;
  const { import: module, default: other } = (target ?? {}) as Record<string, unknown>;
  return [module, other].find((one) => typeof one === 'string');
}

/** Not by `require`, which would never look again at what it once has read. Undefined if it is no JSON. */
function readPackage(path: string): Package | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Package;
  } catch {
    return undefined;
  }
}
