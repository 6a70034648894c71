/**
 * Where workers keep compiled code, so that those to come load the app sooner: Node's compile cache (from 22.1 on). Knows
 * whose directory can be trusted with it; Node reads it, fills it when a process ends, and does without what it cannot write.
 */
import { lstatSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Finds the place for the cache: inside the `node_modules` that the app's packages come from, which `npm ci` empties. Only
 * one that belongs to the workers' user, and so does what is there: whoever can write to the cache decides what code runs,
 * as with the packages, and that user's `npm ci` must be able to remove it.
 *
 * @param file the app's file, an absolute path without links.
 * @param uid the workers' user; undefined where users have no numbers.
 * @returns undefined if there is none.
 */
export function compileCache(file: string, uid: number | undefined): string | undefined {
  for (let directory = dirname(file); ; directory = dirname(directory)) {
    const packages = join(directory, 'node_modules');
    const found = statSync(packages, { throwIfNoEntry: false });
    if (found?.isDirectory()) {
      const place = join(packages, '.fasticorn');
      const there = lstatSync(place, { throwIfNoEntry: false }) ?? found;
      const isTheirs = uid === undefined || (found.uid === uid && there.uid === uid);
      return isTheirs && there.isDirectory() ? place : undefined;
    }
    if (directory === dirname(directory)) return undefined;
  }
}
