/**
 * What `bench/peers/install` has installed, and in which versions: npm packages, and the newest Python with its servers.
 * Looks at files only; how a peer is run with that is in `servers/`.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const here = import.meta.dirname;
const newerDebian = join(here, 'debian');
const hasNewerPython = existsSync(join(newerDebian, 'usr/bin/python3'));
const pythonPackages = join(hasNewerPython ? newerDebian : '/', 'usr/lib/python3/dist-packages');

/** The Python that has the servers: that of the newer Debian, otherwise the system's own. */
export const python = hasNewerPython ? join(here, 'python') : '/usr/bin/python3';

/** The directory of an npm package of the peers, whether it is there or not. */
export const directoryOf = (name: string) => join(here, 'node_modules', name);

/** The version of an npm package of the peers, such as `7.0.4`; undefined if it is not installed. */
export function versionOf(name: string): string | undefined {
  const file = join(directoryOf(name), 'package.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : undefined;
}

/** The version of a package of that Python, such as `26.2.2`; undefined if it is not installed. */
export function pythonVersionOf(name: string): string | undefined {
  if (!existsSync(pythonPackages)) return undefined;
  const metadata = new RegExp(`^${name}-([\\d.]+\\d).*-info$`, 'i');
  return readdirSync(pythonPackages).flatMap((entry) => metadata.exec(entry)?.[1] ?? [])[0];
}

/** Whether a package of that Python has a file, such as `gunicorn/workers/gasgi.py`. */
export const hasPythonFile = (path: string) => existsSync(join(pythonPackages, path));

/** A name with the version, as titles have it. */
export const named = (name: string, version: string | undefined) => (version ? `${name} ${version}` : name);

/** What to tell whoever misses something. */
export const isNotInstalled = (what: string) => `${what} is not installed; bench/peers/install does that`;
