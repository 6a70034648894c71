/**
 * Who may connect to a Unix socket: its mode and its owner, when it is made and when an upgrade brings other settings.
 * Knows what the settings ask for and how a name is given that; which names there are is the business of others.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  lchownSync,
  lstatSync,
  openSync,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { Config } from '../config/settings.ts';
import { errorCode, UserError } from '../errors.ts';
import { type Inode, sameInode } from '../inode.ts';
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
 * Gives a socket what is asked for, and nothing else.
 *
 * @param name a hidden one of it. Who may write to its directory could have put something else there.
 * @param inode which socket it is; undefined for one that was just bound.
 * @throws the system's error; then it is as it was.
 */
export function giveAccess(
  name: string,
  inode: Inode | undefined,
  { mode, uid, gid }: Partial<Access>,
): void {
  // Through a descriptor, whose file nobody can replace between the look and the change: chmod(2) follows links.
  const fd = process.platform === 'linux' ? openSync(name, O_PATH | constants.O_NOFOLLOW) : undefined;
  // Elsewhere by its name: a link that stands there is at least not followed to look, or to change the owner.
  const [path, chown] = fd === undefined ? [name, lchownSync] : [`/proc/self/fd/${fd}`, chownSync];
  try {
    const made = fd === undefined ? lstatSync(name) : fstatSync(fd);
    if (!made.isSocket() || (inode && !sameInode(made, inode)))
      throw new Error(`somebody has replaced ${name}`);
    const before = made.mode & 0o777;
    if (mode !== undefined && before !== mode) chmodSync(path, mode);
    try {
      if (uid !== undefined || gid !== undefined) chown(path, uid ?? -1, gid ?? -1);
    } catch (error) {
      if (mode !== undefined && before !== mode) chmodSync(path, before);
      throw error;
    }
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** open(2)'s flag for a descriptor that only stands for a file, a socket too. Node has no name for it. */
const O_PATH = 0o10000000;

/**
 * Gives a socket that we have inherited what the settings ask for now. What they asked for before as well stays as it is:
 * somebody may have changed it by hand.
 *
 * @throws the system's error; then it is as it was.
 */
export function changeAccess(name: string, inode: Inode, before: Access, after: Access): void {
  const { mode } = after;
  const directory = statSync(dirname(name));
  const ownGroup = directory.mode & 0o2000 ? directory.gid : process.getegid?.();
  const changes = {
    ...(before.mode === mode ? {} : { mode }),
    ...(before.uid === after.uid ? {} : { uid: after.uid ?? process.geteuid?.() }),
    ...(before.gid === after.gid ? {} : { gid: after.gid ?? ownGroup }),
  };
  if (Object.keys(changes).length > 0) giveAccess(name, inode, changes);
}

/** The error for people. */
export function accessRefused(path: string, error: unknown, { group }: Access): UserError {
  if (errorCode(error) === 'EPERM' && group !== undefined)
    return new UserError(
      `--socket-group ${group}: this user is not a member of that group and may not give it the socket`,
    );
  return new UserError(`--bind unix:${path}: cannot prepare the socket: ${(error as Error).message}`);
}
