/**
 * The user and the groups that workers run as. They are set before Node is executed, so that no JavaScript, not even a
 * preloaded module's, ever runs as root in a worker: between fork(2) and exec(2), or by setpriv(1). That one starts as
 * root, with the workers' environment: `worker-env.ts` sees to what of it a program would obey.
 */
import { spawnSync } from 'node:child_process';
import type { Config } from '../config/settings.ts';
import { errorCode, UserError } from '../errors.ts';
import { findGroup, findUser } from './accounts.ts';

/** Who a process is. */
export interface Credentials {
  uid: number;
  gid: number;
  /** Supplementary groups, besides `gid`. */
  groups: readonly number[];
  /** Where setpriv(1) is, if there are any: a worker's own PATH must not lead root anywhere. */
  setpriv?: string;
}

type Accounts = Pick<Config, 'user' | 'group'>;

/** A command, and the options of spawn() to go with it. */
export interface Command {
  file: string;
  args: readonly string[];
  options: { uid?: number; gid?: number };
}

/**
 * Who the workers are to be, or undefined if they are to be as we are. A user without a group has its primary one, and
 * in any case all of which it is a member, as with Gunicorn's `initgroups`.
 *
 * @throws UserError if there is no such user or group, or if this process may not make anybody another user.
 */
export function credentialsOf({ user, group }: Accounts): Credentials | undefined {
  // Windows has no users of this kind.
  if ((user === undefined && group === undefined) || !process.geteuid || !process.getegid) return undefined;
  const found = user === undefined ? undefined : findUser(user);
  if (user !== undefined && !found)
    throw new UserError(`--user ${user}: there is no such user on this machine`);
  const gid = group === undefined ? found?.account?.gid : groupNumber('--group', group);
  if (gid === undefined)
    throw new UserError(`--user ${user}: it has no account here, so no group either; add --group`);
  const [us, uid] = [process.geteuid(), found?.uid ?? process.geteuid()];
  if (us === uid && process.getegid() === gid) return undefined;
  if (us !== 0) {
    const asked = user === undefined ? `--group ${group}` : `--user ${user}`;
    throw new UserError(
      `${asked}: only root can have workers be somebody else, and this is user ${us}; start as root, or drop it`,
    );
  }
  const groups = (found?.account?.groups ?? []).filter((one) => one !== gid);
  return { uid, gid, groups, ...(groups.length > 0 && { setpriv: findSetpriv() }) };
}

/**
 * The number of a group.
 *
 * @throws UserError that names the flag if there is no such group.
 */
export function groupNumber(flag: string, group: string): number {
  const gid = findGroup(group);
  if (gid === undefined) throw new UserError(`${flag} ${group}: there is no such group on this machine`);
  return gid;
}

/**
 * How to start a program as somebody else, in a process of the same pid. spawn() itself takes all supplementary groups
 * away and can give none: where there are any, setpriv(1) does.
 */
export function commandAs(
  credentials: Credentials | undefined,
  program: string,
  args: readonly string[],
): Command {
  if (!credentials) return { file: program, args, options: {} };
  const { uid, gid, groups, setpriv } = credentials;
  if (setpriv === undefined) return { file: program, args, options: { uid, gid } };
  const who = ['--reuid', `${uid}`, '--regid', `${gid}`, '--groups', [gid, ...groups].join()];
  return { file: setpriv, args: [...who, '--', program, ...args], options: {} };
}

function findSetpriv(): string {
  const { stdout } = spawnSync('sh', ['-c', 'command -v setpriv'], { encoding: 'utf8' });
  return stdout?.trim() || '/usr/bin/setpriv';
}

/**
 * Makes sure that Node can be started so.
 *
 * @throws UserError that says why not.
 */
export function assertLaunchable(credentials: Credentials | undefined, { user, group }: Accounts): void {
  if (!credentials) return;
  const { file, args, options } = commandAs(credentials, process.execPath, ['--version']);
  const { error, status, stderr } = spawnSync(file, args, { ...options, encoding: 'utf8' });
  if (status === 0) return;
  const asked = user === undefined ? `--group ${group}` : `--user ${user}`;
  if (file === credentials.setpriv && errorCode(error) === 'ENOENT')
    throw new UserError(
      `${asked}: to give workers its groups (${credentials.groups.join()}) takes setpriv, which is not installed (util-linux)`,
    );
  const reason = errorCode(error) ?? stderr.trim().split('\n')[0];
  throw new UserError(`${asked}: ${process.execPath} cannot be run as that user (${reason})`);
}
