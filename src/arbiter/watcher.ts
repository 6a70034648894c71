/**
 * Tells when the content of files changes. Knows what editors, links, `rm -rf` and Git do to files and directories;
 * which files matter, and what is to be done, is decided elsewhere.
 *
 * Directories are watched, not files: whoever saves by renaming leaves the watch of a file with the old one. What an
 * event says is only a reason to look: a file has changed when its content has.
 */
import { createHash } from 'node:crypto';
import {
  type FSWatcher,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  type Stats,
  statSync,
  watch,
} from 'node:fs';
import { dirname, extname, join, sep } from 'node:path';
import { errorCode } from '../errors.ts';

/** How long nothing may happen until we look, in milliseconds: a save is several events, a checkout is thousands. */
const QUIET = 40;
/** At the latest we look after so long, in milliseconds. */
const LONGEST = 500;
/** Of larger files the time and the size stand for the content, in bytes. */
const MOST_READ = 1024 * 1024;
/** Files that a failed start may have been looking for. */
const CODE = ['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts', '.jsx', '.tsx', '.json', '.node', '.wasm'];
/** In a directory that is watched as a whole: hidden files, backups, Vim's trial, packages. */
const IGNORED = /^\.|~$|^4913$|^node_modules$/;

export interface WatcherOptions {
  /** The directory of the app, without links: whatever is replaced below it is noticed. */
  root: string;
  /** Called with the paths of what has changed, appeared or gone. */
  onChange(paths: string[]): void;
  warn(text: string): void;
}

interface File {
  /** Stands for the content; undefined for none. */
  mark: string | undefined;
  /** The last generation that loaded it. */
  generation: number;
}

/** Watches a growing set of files. */
export class Watcher {
  readonly #options: WatcherOptions;
  readonly #files = new Map<string, File>();
  /** Watched with all that is in them. */
  readonly #whole = new Set<string>();
  readonly #directories = new Map<string, { inode: number | undefined; watcher: FSWatcher }>();
  /** Links in watched directories, and what they led to: files are told to us by their real names. */
  readonly #links = new Map<string, string | undefined>();
  /** What is to be looked at. */
  readonly #touched = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #firstEvent = 0;
  /** Whether code that nobody has loaded matters as well. */
  #suspectsAll = false;
  /** Whether the last change was only found by its time: see `add`. */
  #guessed = false;
  #mayGuess = true;
  #warned = false;

  constructor(options: WatcherOptions) {
    this.#options = options;
  }

  /**
   * A file that a worker is about to load, or looks for in vain. If it is younger than the worker, nobody knows which
   * of its contents was loaded: that counts as a change. Twice in a row, the app itself writes what it loads, and it
   * does not count any more.
   *
   * @param startedAt when the worker was started; milliseconds of the wall clock.
   */
  add(path: string, generation: number, startedAt: number): void {
    const known = this.#files.get(path);
    if (known) {
      known.generation = Math.max(known.generation, generation);
      return;
    }
    this.#note(path, generation);
    const changedAt = statOf(path)?.ctimeMs ?? 0;
    if (changedAt <= startedAt || !this.#mayGuess) return;
    if (this.#guessed) {
      this.#mayGuess = false;
      return;
    }
    this.#guessed = true;
    this.#files.get(path)!.mark = undefined;
    this.#touch(path);
  }

  /** A file, there or not, that is watched for ever, and with it each link that leads to it. */
  keep(path: string): void {
    this.#note(path, Infinity);
    // Each link on the way may lead elsewhere one day.
    for (let part = path; part !== dirname(part); part = dirname(part))
      if (statOf(part, lstatSync)?.isSymbolicLink()) this.#note(part, Infinity);
    const real = realPath(path);
    if (real !== undefined) this.#note(real, Infinity);
  }

  /** The same for a file or a directory, with all that is or will be in it; links may lead back to where they are. */
  keepAll(path: string): void {
    const walked = new Set<string>();
    const paths = [path];
    // Grows meanwhile.
    for (const next of paths) {
      this.keep(next);
      const real = realPath(next) ?? next;
      this.#whole.add(real);
      if (walked.has(real) || !statOf(real)?.isDirectory()) continue;
      walked.add(real);
      this.#watch(real);
      for (const { name } of entriesOf(real)) if (!IGNORED.test(name)) paths.push(join(real, name));
    }
  }

  /** From now on changes of code that nobody has loaded count, where something that was is beside it. */
  suspectAll(): void {
    this.#suspectsAll = true;
  }

  /** Only what was loaded counts. */
  relax(): void {
    this.#suspectsAll = false;
  }

  /** What only older generations have loaded does not matter any more. */
  forgetBefore(generation: number): void {
    for (const [path, file] of this.#files) if (file.generation < generation) this.#files.delete(path);
    const needed = new Set([...this.#parents].flatMap((path) => this.#directoriesOf(path)));
    for (const path of this.#directories.keys()) if (!needed.has(path)) this.#unwatch(path);
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const path of [...this.#directories.keys()]) this.#unwatch(path);
  }

  #note(path: string, generation: number): void {
    if (this.#files.has(path)) return;
    // In this order, so that nothing happens in between.
    for (const directory of this.#directoriesOf(dirname(path))) this.#watch(directory);
    this.#files.set(path, { mark: markOf(path), generation });
  }

  /** Where something may change, or come to be, that matters. Of what is watched as a whole, files are among them as well. */
  get #parents(): Set<string> {
    return new Set([...this.#whole, ...[...this.#files.keys()].map(dirname)]);
  }

  /** Those to watch for what is in one: itself, or the next above that is there; and those between it and the root. */
  #directoriesOf(parent: string): string[] {
    const { root } = this.#options;
    let directory = parent;
    while (!statOf(directory)?.isDirectory() && directory !== dirname(directory))
      directory = dirname(directory);
    const found = [directory];
    while (directory.startsWith(root + sep)) {
      directory = dirname(directory);
      found.push(directory);
    }
    return found;
  }

  #watch(path: string): void {
    if (this.#directories.has(path)) return;
    try {
      const watcher = watch(path, (_event, name) => {
        if (name !== null) this.#touch(join(path, name));
        else for (const file of this.#files.keys()) if (dirname(file) === path) this.#touch(file);
      });
      // It has gone: what is there now is found when we look.
      watcher.on('error', () => this.#touch(path));
      this.#directories.set(path, { inode: statOf(path)?.ino, watcher });
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || this.#warned) return;
      this.#warned = true;
      const reason =
        errorCode(error) === 'ENOSPC' ? 'fs.inotify.max_user_watches is reached' : (error as Error).message;
      this.#options.warn(`changes in ${path} will not be noticed: ${reason}`);
    }
    for (const entry of entriesOf(path)) {
      const link = join(path, entry.name);
      if (entry.isSymbolicLink()) this.#links.set(link, realPath(link));
    }
  }

  #unwatch(path: string): void {
    this.#directories.get(path)?.watcher.close();
    this.#directories.delete(path);
  }

  #touch(path: string): void {
    if (this.#touched.size === 0) this.#firstEvent = performance.now();
    this.#touched.add(path);
    clearTimeout(this.#timer);
    const wait = Math.min(QUIET, Math.max(0, this.#firstEvent + LONGEST - performance.now()));
    this.#timer = setTimeout(() => this.#lookSafely(), wait);
  }

  /** A mistake in here must not end what serves. */
  #lookSafely(): void {
    try {
      this.#look();
    } catch (error) {
      this.#options.warn(`a change may not have been noticed: ${(error as Error).message}`);
    }
  }

  #look(): void {
    this.#renewDirectories();
    const touched = [...this.#touched];
    this.#touched.clear();
    if (performance.now() - this.#firstEvent < LONGEST && touched.some((path) => this.#isEmptied(path))) {
      const began = this.#firstEvent;
      for (const path of touched) this.#touch(path);
      this.#firstEvent = began;
      return;
    }
    const wasGuess = this.#guessed && touched.every((path) => this.#files.get(path)?.mark === undefined);
    const changed = touched.filter((path) => this.#hasChanged(path));
    if (changed.length === 0) return;
    this.#guessed = wasGuess;
    this.#options.onChange(changed);
  }

  /** Directories that were removed, moved or made anew are others than those that are watched: so may be what is in them. */
  #renewDirectories(): void {
    const gone = [...this.#directories].filter(([path, { inode }]) => statOf(path)?.ino !== inode);
    for (const [path] of gone) this.#unwatch(path);
    const renewed = new Set(gone.map(([path]) => path));
    for (const parent of this.#parents) {
      const directories = this.#directoriesOf(parent);
      if (directories.every((directory) => this.#directories.has(directory))) continue;
      for (const directory of directories) this.#watch(directory);
      renewed.add(parent);
    }
    if (renewed.size === 0) return;
    for (const path of this.#files.keys()) if (renewed.has(dirname(path))) this.#touched.add(path);
    for (const path of this.#whole) {
      if (!renewed.has(path)) continue;
      for (const { name } of entriesOf(path)) this.#touched.add(join(path, name));
    }
  }

  /** Whoever saves in place empties the file first: then the rest of it is about to come. */
  #isEmptied(path: string): boolean {
    const file = this.#files.get(path);
    return file !== undefined && file.mark !== EMPTY && markOf(path) === EMPTY;
  }

  #hasChanged(path: string): boolean {
    const file = this.#files.get(path);
    if (file) {
      const before = file.mark;
      file.mark = markOf(path);
      if (file.mark !== before) {
        if (this.#whole.has(path)) this.keepAll(path);
        return true;
      }
    }
    const [before, after] = [
      this.#links.get(path),
      statOf(path, lstatSync)?.isSymbolicLink() ? realPath(path) : undefined,
    ];
    if (before !== after) {
      this.#links.set(path, after);
      if (before !== undefined && this.#leadsToFile(before)) return true;
    }
    if (file || statOf(path) === undefined) return false;
    if (this.#whole.has(dirname(path)) && !IGNORED.test(path.slice(path.lastIndexOf(sep) + 1))) {
      this.keepAll(path);
      return true;
    }
    if (!this.#suspectsAll || !CODE.includes(extname(path))) return false;
    // As if it were loaded by nobody: forgotten as soon as something works.
    this.#note(path, 0);
    return true;
  }

  #leadsToFile(real: string): boolean {
    return [...this.#files.keys()].some((path) => path === real || path.startsWith(real + sep));
  }
}

/** What stands for the content of an empty file. */
const EMPTY = createHash('sha1').digest('base64');

/** What stands for the content of a file, a link or a directory; undefined if it is not there. */
function markOf(path: string): string | undefined {
  try {
    const stat = lstatSync(path);
    if (stat.isSymbolicLink()) return `link to ${readlinkSync(path)}`;
    if (stat.isDirectory()) return 'directory';
    if (!stat.isFile() || stat.size > MOST_READ) return `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
    return createHash('sha1').update(readFileSync(path)).digest('base64');
  } catch {
    return undefined;
  }
}

function statOf(path: string, stat: (path: string) => Stats = statSync): Stats | undefined {
  try {
    return stat(path);
  } catch {
    return undefined;
  }
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

function entriesOf(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch {
    return [];
  }
}
