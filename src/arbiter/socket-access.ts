/**
 * Who may connect to a Unix socket: its mode and its owner, when it is made and when an upgrade brings other settings.
 * Knows what the settings ask for and how a name is given that; which names there are is the business of others.
 */
import { chmodSync, lchownSync, lstatSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Config } from '../config/settings.ts';
import { errorCode, UserError } from '../errors.ts';
import { credentialsOf, groupNumber } from './credentials.ts';

export type AccessSettings = Pick<Config, 'socketMode' | 'socketGroup' | 'user' | 'group'>;

/** What the settings ask for. */
export interface Access {
  /** The bits of permissions. */
  mode: number;
  /** Absent for what a file has that this process makes. */
  uid?: number | undefined;
  gid?: number | undefined;
  /** The value of --socket-group, for messages. */
  group?: string | undefined;
}

/** @throws UserError if there is no such user or group. */
export function accessOf({ socketMode, socketGroup, ...accounts }: AccessSettings): Access {
  const workers = credentialsOf(accounts);
  const gid = socketGroup === undefined ? workers?.gid : groupNumber('--socket-group', socketGroup);
  return { mode: socketMode, uid: workers?.uid, gid, group: socketGroup };
}

/**
 * Gives a socket that was just bound what is asked for.
 *
 * @param name a hidden one of it, that nobody can have replaced.
 * @throws the system's error.
 */
export function giveAccess(name: string, { mode, uid, gid }: Access): void {
  // The mode first, and only of a socket: chmod(2) follows a link, which a new owner could put there.
  const made = lstatSync(name);
  if (!made.isSocket()) throw new Error(`somebody has replaced ${name}`);
  const before = made.mode & 0o777;
  if (before !== mode) chmodSync(name, mode);
  try {
    if (uid !== undefined || gid !== undefined) lchownSync(name, uid ?? -1, gid ?? -1);
  } catch (error) {
    chmodSync(name, before);
    throw error;
  }
}

/**
 * Gives a socket that we have inherited what the settings ask for now. What they asked for before as well stays as it is:
 * somebody may have changed it by hand.
 *
 * @throws the system's error.
 */
export function changeAccess(name: string, before: Access, after: Access): void {
  const { uid, gid, mode } = lstatSync(name);
  const directory = statSync(dirname(name));
  const ownGroup = directory.mode & 0o2000 ? directory.gid : process.getegid?.();
  giveAccess(name, {
    mode: before.mode === after.mode ? mode & 0o777 : after.mode,
    uid: before.uid === after.uid ? uid : (after.uid ?? process.geteuid?.()),
    gid: before.gid === after.gid ? gid : (after.gid ?? ownGroup),
  });
}

/** The error for people. */
export function accessRefused(path: string, error: unknown, { group }: Access): UserError {
  if (errorCode(error) === 'EPERM' && group !== undefined)
    return new UserError(
      `--socket-group ${group}: this user is not a member of that group and may not give it the socket`,
    );
  return new UserError(`--bind unix:${path}: cannot prepare the socket: ${(error as Error).message}`);
}
