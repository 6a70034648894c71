/**
 * The file that holds the process id of the arbiter, for scripts and supervisors. Somebody else's is never replaced,
 * and what is there is always whole.
 */
import { execFileSync } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  linkSync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { errorCode, UserError } from '../errors.ts';
import { type Inode, inodeOf, removeIfSame, sameInode } from '../inode.ts';
import { uniqueSuffix } from './unique-suffix.ts';

/** More than this, in bytes, is in no pid file. */
const MAX_SIZE = 32;

/** The pid file of this process. */
export class PidFile {
  /** Absolute. */
  readonly path: string;
  #predecessor: number | undefined;
  /** The file that we wrote. */
  #written: Inode | undefined;

  constructor(path: string) {
    this.path = resolve(path);
  }

  /**
   * Makes sure that the file can be ours. What a dead server left there, or our own pid, is no obstacle. Changes
   * nothing.
   *
   * @param predecessor the pid of a server that makes way for us.
   * @throws UserError that says what is in the way.
   */
  claim(predecessor?: number): void {
    this.#predecessor = predecessor;
    assertWritable(this.path);
    const pid = pidIn(this.path);
    if (pid === undefined || pid === process.pid || pid === predecessor) return;
    const occupant = occupantOf(pid);
    if (occupant === 'fasticorn') {
      throw refusal(
        this.path,
        `a fasticorn is running with pid ${pid}; stop it first, or choose another file`,
      );
    }
    if (occupant === 'unknown') {
      throw refusal(
        this.path,
        `it names process ${pid}, which may be a fasticorn; delete the file if it is not`,
      );
    }
  }

  /**
   * Writes our pid. Whoever reads meanwhile finds what was there before, or all of ours.
   *
   * @throws UserError if that is impossible, or the file has become another's since we claimed it; what was there
   * before is still there.
   */
  write(): void {
    const temporary = join(dirname(this.path), `.${basename(this.path).slice(0, 200)}.${uniqueSuffix()}`);
    try {
      const fd = openSync(temporary, 'wx', 0o644);
      try {
        try {
          // Whatever the umask.
          fchmodSync(fd, 0o644);
          writeFileSync(fd, `${process.pid}\n`);
        } finally {
          closeSync(fd);
        }
        const inode = inodeOf(temporary);
        this.#place(temporary);
        this.#written = inode;
      } finally {
        rmSync(temporary, { force: true });
      }
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw refusal(this.path, `cannot write it (${errorCode(error)})`);
    }
  }

  /** Gives the finished file its name. Of several servers that find none by that name, one wins. */
  #place(temporary: string): void {
    try {
      linkSync(temporary, this.path);
    } catch {
      // There is one, perhaps since a moment ago; or the file system has no links.
      this.claim(this.#predecessor);
      renameSync(temporary, this.path);
    }
  }

  /**
   * Writes the file again if it was deleted since; whatever else is there by now stays.
   *
   * @returns whether it was.
   * @throws UserError as `write` does.
   */
  restore(): boolean {
    if (!this.#written || lstatSync(this.path, { throwIfNoEntry: false })) return false;
    this.write();
    return true;
  }

  /** Removes the file if it is still the one that we wrote, with our pid in it. Never throws. */
  remove(): void {
    if (this.#written && this.isOurs()) removeIfSame(this.path, this.#written);
  }

  /** Whether the file is still the one that we wrote, with our pid in it. Never throws. */
  isOurs(): boolean {
    try {
      return (
        sameInode(inodeOf(this.path), this.#written) && readFileSync(this.path, 'utf8') === `${process.pid}\n`
      );
    } catch {
      // It is gone, or has become something else.
      return false;
    }
  }
}

/**
 * The process id of the running fasticorn whose pid file this is.
 *
 * @throws UserError if there is no such file, or no such server.
 */
export function readPid(path: string): number {
  const file = resolve(path);
  const pid = pidIn(file);
  if (pid === undefined) {
    const there = lstatSync(file, { throwIfNoEntry: false });
    throw refusal(file, there ? 'the file is empty' : 'there is no such file; is the server running?');
  }
  if (occupantOf(pid) !== 'fasticorn') throw refusal(file, `no fasticorn is running with pid ${pid}`);
  return pid;
}

const refusal = (path: string, reason: string) => new UserError(`--pid ${path}: ${reason}`);

/**
 * The number in a pid file, or undefined if there is no file, or an empty one.
 *
 * @throws UserError if it is no pid file at all, or may not be read.
 */
function pidIn(path: string): number | undefined {
  try {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat) return undefined;
    if (!stat.isFile()) throw refusal(path, 'it is not a regular file; it was left alone');
    const text = stat.size > MAX_SIZE ? 'too much' : readFileSync(path, 'utf8').trim();
    if (text === '') return undefined;
    // 0 and negative numbers mean groups of processes.
    if (!/^[1-9]\d{0,8}$/.test(text)) throw refusal(path, 'the file holds something else than a process id');
    return Number(text);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw refusal(path, `cannot read it (${errorCode(error)})`);
  }
}

/** @throws UserError if no file can be created beside the path. */
function assertWritable(path: string): void {
  const directory = dirname(path);
  try {
    if (!statSync(directory).isDirectory()) throw refusal(path, `${directory} is not a directory`);
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    if (error instanceof UserError) throw error;
    const code = errorCode(error);
    if (code === 'ENOENT') throw refusal(path, `the directory ${directory} does not exist; create it first`);
    throw refusal(path, `no file can be created in ${directory} (${code})`);
  }
}

/** Who runs under a process id; `unknown` if it is somebody, and the system does not tell who. */
function occupantOf(pid: number): 'fasticorn' | 'other' | 'nobody' | 'unknown' {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, and belongs to somebody else.
    if (errorCode(error) === 'ESRCH') return 'nobody';
  }
  const command = commandOf(pid);
  if (command === undefined) return 'unknown';
  return isArbiter(command) ? 'fasticorn' : 'other';
}

/** Whether a command line is an arbiter's, by its title, of which there may be only the beginning, or its script. */
function isArbiter(command: string): boolean {
  if (command.startsWith('fasticorn: a')) return true;
  const [program = '', ...args] = command.split(command.includes('\0') ? '\0' : /\s+/);
  const script = args.find((arg) => !arg.startsWith('-')) ?? '';
  return basename(program).startsWith('node') && /(^|\/)fasticorn(\/dist\/cli\.js)?$/.test(script);
}

/** The command line of a process; empty for a zombie. Undefined if the system does not tell. */
function commandOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {}
  try {
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 1000,
    });
  } catch {
    return undefined;
  }
}
