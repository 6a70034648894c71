/**
 * Where workers keep compiled code, so that those to come load the app sooner: Node's compile cache. Knows whose directory
 * can be trusted with it; Node reads it, fills it when a process ends, and does without what it cannot write.
 */
import { lstatSync, type Stats, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { upwards } from './upwards.ts';

/** Who the workers are. */
export interface CacheUser {
  /** Undefined where users have no numbers. */
  uid: number | undefined;
  /** The permissions that their new directories do not get. */
  umask: number;
}

/** What group and others would need to write. */
const FOR_OTHERS = 0o022;

/**
 * Finds the place for the cache: inside the `node_modules` that the app's packages come from, which `npm ci` empties. Only
 * one that belongs to the workers' user, and only if nobody else can write to the cache: who can decides what code runs,
 * as with the packages, and that user's `npm ci` must be able to remove it.
 *
 * @param file the app's file, an absolute path without links.
 * @returns undefined if there is none.
 */
export function compileCache(file: string, user: CacheUser): string | undefined {
  const packages = upwards(dirname(file), 'node_modules/');
  const found = packages && attempt(() => statSync(packages));
  return found && isTheirs(found, user) ? placeIn(packages, user) : undefined;
}

function placeIn(packages: string, user: CacheUser): string | undefined {
  const place = join(packages, '.fasticorn');
  const there = attempt(() => lstatSync(place));
  // Node makes it with what the umask leaves.
  if (!there) return (user.umask & FOR_OTHERS) === FOR_OTHERS ? place : undefined;
  return there.isDirectory() && isTheirs(there, user) && (there.mode & FOR_OTHERS) === 0 ? place : undefined;
}

const isTheirs = ({ uid }: Stats, user: CacheUser) => user.uid === undefined || uid === user.uid;

/** What cannot be looked at is as good as not there. */
function attempt(look: () => Stats): Stats | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
