/**
 * The name of a Unix socket in the file system: who has it, how it becomes ours, how it is kept and given back.
 * Knows names and inodes; the socket behind them is bound by `listener.ts`.
 */
import { randomBytes } from 'node:crypto';
import {
  accessSync,
  constants,
  linkSync,
  lstatSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  watch,
} from 'node:fs';
import { connect } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, UserError } from '../errors.ts';
import { type Inode, inodeOf, removeIfSame, sameInode } from '../inode.ts';

/** The longest path that fits sockaddr_un.sun_path, in bytes. */
const MAX_PATH = process.platform === 'linux' ? 107 : 103;
/** A dot before and `.<8 hex>` after the name. */
const HIDDEN_EXTRA = 10;
/** How long connect(2) to somebody else's socket may take until silence counts as alive, in milliseconds. */
const PROBE_TIMEOUT = 1000;
/** How long the orphans of a killed arbiter may take to remove the name, in milliseconds. */
const ORPHAN_GRACE = 500;

/** What link(2) fails with where a socket cannot have a second name. */
const NO_HARD_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/** What is worth a line in the log. */
export interface PathEvents {
  /** Somebody deleted the name; it is there again. */
  onRestored(path: string): void;
  /** Something that is not ours stands in its place. */
  onForeign(path: string): void;
  /** Somebody deleted the name, and it cannot be put back. */
  onLost(path: string, reason: string): void;
}

/** The name in the same directory under which a socket is bound before anybody may see it. */
export function hiddenName(path: string): string {
  return `${hiddenPrefix(path)}${randomBytes(4).toString('hex')}`;
}

function hiddenPrefix(path: string): string {
  const directory = dirname(path);
  // Close to the limit the hidden name is cut short, so that a path that fits is never refused for its hidden name.
  const room = MAX_PATH - Buffer.byteLength(join(directory, '/')) - HIDDEN_EXTRA;
  const name = Buffer.from(basename(path)).subarray(0, Math.max(room, 0)).toString('latin1');
  return join(directory, `.${/^[\x20-\x7e]*$/.test(name) ? name : 'sock'}.`);
}

/**
 * Makes sure that a socket can be put at the path later: its directory exists and may be written to, the path is
 * not too long, and nothing is there but, perhaps, a dead socket. Changes nothing.
 *
 * @throws UserError that says what is in the way.
 */
export async function assertClaimable(path: string): Promise<void> {
  const refuse = (reason: string) => new UserError(`--bind unix:${path}: ${reason}`);
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_PATH) {
    throw refuse(
      `the path has ${bytes} bytes, and the system takes ${MAX_PATH} at most; choose a shorter one`,
    );
  }
  if (Buffer.byteLength(hiddenPrefix(path)) + 8 > MAX_PATH) {
    throw refuse('the directory leaves no room for a hidden name beside the socket; choose a shorter path');
  }
  const directory = dirname(path);
  try {
    if (!statSync(directory).isDirectory()) throw refuse(`${directory} is not a directory`);
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    if (error instanceof UserError) throw error;
    if (errorCode(error) === 'ENOENT')
      throw refuse(`the directory ${directory} does not exist; create it first`);
    throw refuse(`no permission to create files in ${directory} (${errorCode(error)})`);
  }
  // The workers of an arbiter killed a moment ago answer until they have noticed, and then remove the name.
  const until = Date.now() + ORPHAN_GRACE;
  for (;;) {
    const obstacle = await obstacleAt(path);
    if (!obstacle) return;
    if (!obstacle.mayPass || Date.now() >= until) throw refuse(obstacle.reason);
    await sleep(50);
  }
}

interface Obstacle {
  reason: string;
  /** Whether waiting may help. */
  mayPass: boolean;
}

/** Says what keeps us from the path; undefined if nothing is there, or only a dead socket. */
async function obstacleAt(path: string): Promise<Obstacle | undefined> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat) return undefined;
  if (!stat.isSocket())
    return { reason: 'there is a file that is not a socket; it was left alone', mayPass: false };
  const found = await probe(path);
  switch (found) {
    case 'dead':
    case 'gone':
      return undefined;
    case 'live':
      return {
        reason: 'another server is listening there; stop it first, or choose another path',
        mayPass: true,
      };
    case 'EAGAIN':
      return {
        reason: 'another server is there, with a full queue (EAGAIN); it was left alone',
        mayPass: true,
      };
    case 'EACCES':
      return {
        reason: 'no permission to ask who is listening there (EACCES); it was left alone',
        mayPass: false,
      };
    case 'EPROTOTYPE':
      return { reason: 'there is a socket of another type (EPROTOTYPE); it was left alone', mayPass: false };
    default:
      return { reason: `somebody may be listening there (${found}); it was left alone`, mayPass: false };
  }
}

/**
 * Asks the kernel whether anybody listens on a socket file. Only ECONNREFUSED proves that nobody does; anything
 * unexpected is returned as its error code.
 */
export function probe(path: string): Promise<'dead' | 'gone' | 'live' | string> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const timer = setTimeout(() => settle('no answer'), PROBE_TIMEOUT);
    const settle = (result: string) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    socket.on('connect', () => settle('live'));
    socket.on('error', (error) => {
      const code = errorCode(error) ?? error.message;
      settle(code === 'ECONNREFUSED' ? 'dead' : code === 'ENOENT' ? 'gone' : code);
    });
  });
}

/** The public name of a bound socket, from before it is published until it is withdrawn. */
export class SocketPath {
  readonly path: string;
  /** A second, hidden name of the same inode: from it the public one can be put back. */
  readonly spare: string;
  readonly inode: Inode;
  readonly #events: PathEvents;
  #published = false;
  /** Files that stand in our place, each reported once. */
  #reported: Inode | 'lost' | undefined;
  #watcher: { close(): void } | undefined;

  /**
   * @param path the public name.
   * @param bound the hidden name under which the socket was just bound.
   */
  constructor(path: string, bound: string, events: PathEvents) {
    this.path = path;
    this.#events = events;
    this.spare = hiddenName(path);
    // libuv unlinks the name it bound when the handle closes: after this there is nothing left to unlink.
    renameSync(bound, this.spare);
    this.inode = inodeOf(this.spare) as Inode;
  }

  /** Both names, public one first. */
  get names(): readonly string[] {
    return [this.path, this.spare];
  }

  /**
   * Makes the socket visible under its public name. Of several servers that try at once, one succeeds: link(2)
   * refuses to replace anything, and a dead socket is moved aside and looked at before it is deleted.
   *
   * @throws UserError if a live server, or anything that is not a socket, has come to stand there.
   */
  async publish(): Promise<void> {
    while (!this.#claim()) {
      const before = inodeOf(this.path);
      const obstacle = await obstacleAt(this.path);
      if (obstacle) throw new UserError(`--bind unix:${this.path}: ${obstacle.reason}`);
      // Between the answer and this line somebody may have put a live socket there: look at what was moved.
      if (!before || !sameInode(inodeOf(this.path), before)) continue;
      const aside = hiddenName(this.path);
      try {
        renameSync(this.path, aside);
      } catch (error) {
        if (errorCode(error) === 'ENOENT') continue;
        throw error;
      }
      if (!sameInode(inodeOf(aside), before)) this.#link(aside, this.path);
      unlinkSync(aside);
    }
    this.#published = true;
    this.#watch();
    await this.#sweep();
  }

  /** Puts the public name back if it has gone, and tells of a foreign file in its place, once. */
  check(): void {
    if (!this.#published) return;
    const there = inodeOf(this.path);
    if (sameInode(there, this.inode)) {
      this.#reported = undefined;
      return;
    }
    if (there) {
      if (this.#reported === 'lost' || !sameInode(this.#reported, there)) this.#events.onForeign(this.path);
      this.#reported = there;
      return;
    }
    if (!sameInode(inodeOf(this.spare), this.inode)) {
      if (this.#reported !== 'lost')
        this.#events.onLost(this.path, 'its hidden second name has been deleted too');
      this.#reported = 'lost';
    } else if (this.#restore()) {
      this.#reported = undefined;
      this.#events.onRestored(this.path);
    }
  }

  /** Removes both names where they are still ours. The socket itself stays as it is. */
  withdraw(): void {
    this.#published = false;
    this.#watcher?.close();
    this.#watcher = undefined;
    for (const name of this.names) removeIfSame(name, this.inode);
  }

  #restore(): boolean {
    try {
      return this.#link(this.spare, this.path);
    } catch (error) {
      if (this.#reported !== 'lost') this.#events.onLost(this.path, (error as Error).message);
      this.#reported = 'lost';
      return false;
    }
  }

  /** Takes the public name if nothing stands there; false if something does. */
  #claim(): boolean {
    try {
      return this.#link(this.spare, this.path);
    } catch (error) {
      // Some file systems (macOS's shared folders among them) have no hard links to sockets. Without a second name
      // the public one cannot be put back, and between the look and the rename somebody else may come.
      if (!NO_HARD_LINKS.has(errorCode(error) ?? '')) throw error;
      if (inodeOf(this.path)) return false;
      renameSync(this.spare, this.path);
      return true;
    }
  }

  /** link(2); false if the wanted name is taken. */
  #link(existing: string, wanted: string): boolean {
    try {
      linkSync(existing, wanted);
      return true;
    } catch (error) {
      if (errorCode(error) === 'EEXIST') return false;
      throw error;
    }
  }

  /**
   * A deleted name changes the inode's link count, which inotify reports for the spare without any noise from the
   * directory. Where that does not work (kqueue cannot open a socket) the arbiter's tick has to do.
   */
  #watch(): void {
    try {
      const watcher = watch(this.spare, { persistent: false }, () => this.check());
      watcher.on('error', () => watcher.close());
      this.#watcher = watcher;
    } catch {}
  }

  /**
   * Removes the hidden names that killed arbiters left. A hidden name whose arbiter is only starting looks dead as
   * well; that one has lost the path to us, so that it cannot miss its name.
   */
  async #sweep(): Promise<void> {
    const directory = dirname(this.path);
    const prefix = basename(hiddenPrefix(this.path));
    for (const name of readdirSync(directory)) {
      if (!name.startsWith(prefix) || !/^[0-9a-f]{8}$/.test(name.slice(prefix.length))) continue;
      const file = join(directory, name);
      const inode = inodeOf(file);
      if (!inode || sameInode(inode, this.inode)) continue;
      if (lstatSync(file, { throwIfNoEntry: false })?.isSocket() && (await probe(file)) === 'dead') {
        removeIfSame(file, inode);
      }
    }
  }
}
