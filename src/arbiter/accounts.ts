/**
 * Users and groups by name or number. Node has no getpwnam(3) and its kin: local accounts are read from their files,
 * and the system's own programs are asked for all others.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The greatest number that chown(2) does not read as "leave it". */
const MAX_ID = 2 ** 32 - 2;

/** A user of this machine. */
export interface User {
  uid: number;
  /** Its primary group, and the groups besides that it is a member of; undefined for a number without an account. */
  account: { gid: number; groups: number[] } | undefined;
}

/** Looks a user up; undefined if there is no such name. A number without an account is a user as well. */
export function findUser(user: string): User | undefined {
  const entry = entryOf('passwd', user);
  if (!entry) return isId(user) ? { uid: Number(user), account: undefined } : undefined;
  const [name = '', , uid, gid] = entry;
  return { uid: Number(uid), account: { gid: Number(gid), groups: supplementary(name, Number(gid)) } };
}

/** Looks the number of a group up; undefined if there is no such name. A number is taken as it is. */
export function findGroup(group: string): number | undefined {
  if (isId(group)) return Number(group);
  const gid = entryOf('group', group)?.[2];
  return gid ? Number(gid) : undefined;
}

const isId = (text: string) => /^\d+$/.test(text) && Number(text) <= MAX_ID;

/** The fields of an account in a database of the system, by its name or number. */
function entryOf(database: 'passwd' | 'group', key: string): string[] | undefined {
  const isMeant = ([name, , id]: string[]) => name === key || (id === key && isId(key));
  try {
    const local = readFileSync(`/etc/${database}`, 'utf8').split('\n');
    const found = local.map((line) => line.split(':')).find(isMeant);
    // Not a local account: a directory service may know it.
    return found ?? ask('getent', database, key).trim().split(':');
  } catch {
    return undefined;
  }
}

/** The groups of a user besides the primary one, as initgroups(3) would give them. */
function supplementary(name: string, gid: number): number[] {
  let all: number[];
  try {
    all = ask('id', '-G', name).trim().split(/\s+/).map(Number);
  } catch {
    all = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .filter(([, , , members = '']) => members.split(',').includes(name))
      .map(([, , id]) => Number(id));
  }
  return [...new Set(all)].filter((one) => one !== gid);
}

/** What a program says. Throws if it fails or is not there. */
function ask(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}
