/**
 * The name of a Unix socket in the file system: how it becomes ours, how it is kept and given back. Knows names and
 * inodes; who else may have the name says `socket-probe.ts`, and the socket behind it is bound by `listener.ts`.
 */
import {
  accessSync,
  constants,
  linkSync,
  lstatSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  watch,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, UserError } from '../errors.ts';
import { type Inode, inodeOf, removeIfSame, sameInode } from '../inode.ts';
import { obstacleAt, probe, refusal } from './socket-probe.ts';
import { uniqueSuffix } from './unique-suffix.ts';

/** The longest path that fits sockaddr_un.sun_path, in bytes. */
const MAX_PATH = process.platform === 'linux' ? 107 : 103;
/** A dot before and `.<8 hex>` after the name. */
const HIDDEN_EXTRA = 10;
/** After this time whoever was about to remove a dead socket has been killed before it could, in milliseconds. */
const BURIAL_LIMIT = 5000;

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
  return `${hiddenPrefix(path)}${uniqueSuffix()}`;
}

/** Close to the limit a digest stands for the name, so that a path that fits is rarely refused for its hidden name. */
function hiddenPrefix(path: string): string {
  const name = basename(path);
  const room = roomForName(path);
  const shown = Buffer.byteLength(name) <= room ? name : digestOf(name).slice(0, room);
  return join(dirname(path), `.${shown}.`);
}

/** Rarely needed, and the module takes long to load. */
function digestOf(name: string): string {
  return process.getBuiltinModule('node:crypto').createHash('sha256').update(name).digest('hex');
}

/** How many bytes of the hidden name may tell it from those of other sockets. */
function roomForName(path: string): number {
  return MAX_PATH - Buffer.byteLength(join(dirname(path), '/')) - HIDDEN_EXTRA;
}

/**
 * Makes sure that there could be a socket at the path: it is not too long, and its directory exists and may be
 * written to. Changes nothing.
 *
 * @throws UserError that says what is wrong.
 */
export function assertPossible(path: string): void {
  const refuse = (reason: string) => refusal(path, reason);
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_PATH) {
    throw refuse(
      `the path has ${bytes} bytes, and the system takes ${MAX_PATH} at most; choose a shorter one`,
    );
  }
  if (roomForName(path) < 1) {
    throw refuse('the directory leaves no room for a hidden name beside the socket; choose a shorter path');
  }
  const directory = dirname(path);
  try {
    if (!statSync(directory).isDirectory()) throw refuse(`${directory} is not a directory`);
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    if (error instanceof UserError) throw error;
    const code = errorCode(error);
    if (code === 'ENOENT') throw refuse(`the directory ${directory} does not exist; create it first`);
    if (code === 'EACCES') throw refuse(`no permission to create files in ${directory} (EACCES)`);
    throw refuse(`no file can be created in ${directory} (${code})`);
  }
}

/** The public name of a bound socket, from before it is published until it is withdrawn. */
export class SocketPath {
  readonly path: string;
  /** A second, hidden name of the same inode: from it the public one can be put back. */
  readonly spare: string;
  readonly inode: Inode;
  readonly #events: PathEvents;
  #published = false;
  #withdrawn = false;
  /** What stands in our place, or why nothing does: reported once. */
  #reported: Inode | 'lost' | undefined;
  #watcher: { close(): void } | undefined;

  /** Whether the public name, where it stands for our inode, is ours to remove. */
  #owned: boolean;

  private constructor(path: string, spare: string, events: PathEvents, owned: boolean) {
    this.path = path;
    this.#events = events;
    this.spare = spare;
    this.#owned = owned;
    this.inode = inodeOf(spare) as Inode;
  }

  /** For a socket that was just bound under a hidden name, and whose public name is to be `path`. */
  static ofBound(path: string, bound: string, events: PathEvents): SocketPath {
    const spare = hiddenName(path);
    // libuv unlinks the name it bound when the handle closes: after this there is nothing left to unlink.
    renameSync(bound, spare);
    return new SocketPath(path, spare, events, true);
  }

  /**
   * For a socket that we inherit from a server which still has both of its names. A spare of our own, since that
   * server's workers remove theirs should it be killed.
   *
   * @returns undefined if that has happened already: without a name a socket cannot be given one.
   * @throws UserError if the directory takes no further name.
   */
  static inherited(path: string, theirSpare: string, events: PathEvents): SocketPath | undefined {
    const spare = hiddenName(path);
    try {
      linkSync(theirSpare, spare);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      if (!NO_HARD_LINKS.has(errorCode(error) ?? '')) throw refusal(path, (error as Error).message);
      return new SocketPath(path, path, events, false);
    }
    return new SocketPath(path, spare, events, false);
  }

  /**
   * Makes the socket visible under its public name. Of several servers that try at once, one succeeds: link(2)
   * refuses to replace anything.
   *
   * @param replace whether a live server there has agreed to be replaced.
   * @returns false if it was withdrawn meanwhile.
   * @throws UserError if a live server, or anything that is not a socket, has come to stand there.
   */
  async publish(replace = false): Promise<boolean> {
    if (this.#published) return true;
    if (replace) this.#replace();
    while (!this.#withdrawn && !this.#claim()) {
      const obstacle = await obstacleAt(this.path);
      if (this.#withdrawn) break;
      if (obstacle) throw refusal(this.path, obstacle.reason);
      await this.#bury();
    }
    if (this.#withdrawn) return false;
    this.#published = true;
    this.#owned = true;
    this.#watch();
    // Before the watch began, orphans of a killed predecessor may have removed the name.
    this.check();
    await this.#sweep();
    return !this.#withdrawn;
  }

  /**
   * Puts the public name back if it has gone, and tells of a foreign file in its place, once. The hidden name is
   * put back as well: who cleans up old files in /tmp may come for it first.
   */
  check(): void {
    if (!this.#published) return;
    try {
      const there = inodeOf(this.path);
      if (there && !sameInode(there, this.inode)) {
        if (this.#reported === 'lost' || !sameInode(this.#reported, there)) this.#events.onForeign(this.path);
        this.#reported = there;
        return;
      }
      const spared = inodeOf(this.spare) !== undefined;
      if (!there && !spared) {
        this.#lost('its hidden second name has been deleted too');
        return;
      }
      if (!there && !this.#link(this.spare, this.path)) return;
      if (!there) this.#events.onRestored(this.path);
      else if (!spared) this.#makeSpare();
      this.#reported = undefined;
    } catch (error) {
      this.#lost((error as Error).message);
    }
  }

  /** Removes our names where they are still ours. The socket itself stays as it is. */
  withdraw(): void {
    this.release();
    if (this.#withdrawn) return;
    this.#withdrawn = true;
    if (this.spare !== this.path) removeIfSame(this.spare, this.inode);
    if (this.#owned) removeIfSame(this.path, this.inode);
  }

  /** The public name has a new guardian, with the same socket: only our own second name goes. */
  handOver(): void {
    this.#owned = false;
    this.withdraw();
  }

  /** Does not guard the public name any more, which somebody is about to replace. */
  release(): void {
    this.#published = false;
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  /**
   * Guards the public name again, after a release that came to nothing. Whoever had asked for it may have replaced it
   * before it died or gave up: what its last workers still accept there would be lost when they end.
   */
  reclaim(): void {
    if (this.#withdrawn || this.#published) return;
    try {
      this.#replace();
    } catch {
      // Then it is reported like anything else that is foreign.
    }
    this.#published = true;
    this.#watch();
    this.check();
  }

  /** Whether the public name leads to our socket at this moment. */
  get isThere(): boolean {
    return sameInode(inodeOf(this.path), this.inode);
  }

  #makeSpare(): void {
    try {
      this.#link(this.path, this.spare);
    } catch {
      // There are no hard links here, or the directory is closed to us: as long as the path is there all is well.
    }
  }

  #lost(reason: string): void {
    if (this.#reported !== 'lost') this.#events.onLost(this.path, reason);
    this.#reported = 'lost';
  }

  /** Puts the socket in the place of another one at once, without a moment in which nothing is there. */
  #replace(): void {
    if (!lstatSync(this.path, { throwIfNoEntry: false })?.isSocket()) return;
    // Between two names of one file rename(2) does nothing, and would leave the step behind.
    if (sameInode(inodeOf(this.path), this.inode)) return;
    const step = hiddenName(this.path);
    try {
      this.#link(this.spare, step);
      renameSync(step, this.path);
    } catch (error) {
      const code = errorCode(error) ?? '';
      if (code === 'ENOENT') throw this.#sweptAway();
      if (!NO_HARD_LINKS.has(code)) throw refusal(this.path, (error as Error).message);
      renameSync(this.spare, this.path);
    }
  }

  #sweptAway(): UserError {
    return refusal(this.path, 'its hidden name has been deleted while the app was starting; start again');
  }

  /** Takes the public name if nothing stands there but, perhaps, this very socket; false if something else does. */
  #claim(): boolean {
    if (sameInode(inodeOf(this.path), this.inode)) return true;
    try {
      return this.#link(this.spare, this.path);
    } catch (error) {
      const code = errorCode(error) ?? '';
      // Who has the path may have swept us away: a socket that does not listen yet looks dead.
      if (code === 'ENOENT') {
        if (inodeOf(this.path)) return false;
        throw this.#sweptAway();
      }
      // Some file systems (macOS's shared folders among them) have no hard links to sockets. Without a second name
      // the public one cannot be put back, and between the look and the rename somebody else may come.
      if (!NO_HARD_LINKS.has(code)) throw refusal(this.path, (error as Error).message);
      if (inodeOf(this.path)) return false;
      renameSync(this.spare, this.path);
      return true;
    }
  }

  /**
   * Removes a dead socket from the path. Another server may be doing the same, or have put a live one there by now:
   * only who has given the dead one its grave's name may, and asks once more under that name, which stays the same.
   */
  async #bury(): Promise<void> {
    const dead = inodeOf(this.path);
    if (!dead) return;
    const grave = `${hiddenPrefix(this.path)}${(dead.ino % 2 ** 32).toString(16).padStart(8, '0')}`;
    try {
      if (!this.#link(this.path, grave)) {
        const since = lstatSync(grave, { throwIfNoEntry: false })?.ctimeMs ?? 0;
        const abandoned = Date.now() - since > BURIAL_LIMIT;
        if (abandoned && !removeIfSame(grave, dead))
          throw refusal(this.path, `${grave} is in the way; delete it`);
        await sleep(20);
        return;
      }
    } catch (error) {
      if (error instanceof UserError) throw error;
      if (errorCode(error) === 'ENOENT') return;
      // Without hard links, or to another user's file, there is no such right, and somebody else may come between.
      if (sameInode(inodeOf(this.path), dead)) unlinkOrRefuse(this.path);
      return;
    }
    try {
      const isDead = sameInode(inodeOf(grave), dead) && (await probe(grave)) === 'dead';
      if (isDead && sameInode(inodeOf(this.path), dead)) unlinkOrRefuse(this.path);
    } finally {
      rmSync(grave, { force: true });
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
   * Removes the hidden names that killed arbiters left, also those of our socket that a predecessor or a successor
   * had. A hidden name whose arbiter is only starting looks dead as well; that one has lost the path to us, so that it
   * cannot miss its name. What cannot be removed does no harm.
   */
  async #sweep(): Promise<void> {
    const directory = dirname(this.path);
    const prefix = basename(hiddenPrefix(this.path));
    for (const name of entriesOf(directory)) {
      if (!name.startsWith(prefix) || !/^[0-9a-f]{8}$/.test(name.slice(prefix.length))) continue;
      const file = join(directory, name);
      if (file === this.spare) continue;
      if (sameInode(inodeOf(file), this.inode)) removeIfSame(file, this.inode);
      else await removeIfDead(file);
    }
  }
}

/** Removes a socket on which nobody listens. Anything else stays as it is. */
export async function removeIfDead(file: string): Promise<void> {
  const inode = inodeOf(file);
  if (inode && lstatSync(file, { throwIfNoEntry: false })?.isSocket() && (await probe(file)) === 'dead')
    removeIfSame(file, inode);
}

/** The names in a directory; none if it may not be read. */
export function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** In a directory with the sticky bit, such as /tmp, only its owner may remove a dead socket. */
function unlinkOrRefuse(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') return;
    throw refusal(path, `a dead socket is there, and this user may not remove it (${code}); delete it`);
  }
}
