/**
 * Writes whole lines to a file descriptor that other processes write to as well. Knows about retries and full disks; what
 * is in a line is the business of others, and which go out together that of `line-buffer.ts`.
 */
import {
  closeSync,
  constants,
  fchownSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { errorCode } from './errors.ts';

/** The most bytes that go out in one write: PIPE_BUF on Linux, up to which writes to a pipe are atomic. */
export const MAX_LINE = 4096;
/** The same for a regular file that is open for appending: a local file system takes each as a whole, and fewer are cheaper. */
const MAX_APPEND = 64 * 1024;

/** How long to wait before trying a destination again that did not take a line, in milliseconds. */
const RETRY_AFTER = 100;
/** Bytes that wait at most for a destination that takes nothing; lines after that are dropped and counted. */
const MAX_PENDING = 1 << 20;
/** How long the last flush before the process ends tries at most, in milliseconds. */
const LAST_FLUSH = 1000;

export interface LineWriterOptions {
  /** A file that was opened for appending, rather than a stream that others have opened for us. */
  ownFile?: boolean;
  /** Told once when the destination stops taking lines, and once when it has taken all that waited, with the lines lost. */
  onTrouble?: (event: { error: Error } | { lost: number }) => void;
}

/** What a destination has not taken to the end. */
export interface Left {
  /** Whole lines. */
  lines: Buffer;
  /** How many were dropped before. */
  lost: number;
}

/**
 * A destination for lines that never throws and never tears a line. Writes are synchronous, as in nginx: cheaper than
 * a thread's, and nothing is on its way when the process ends.
 */
export class LineWriter {
  #fd: number;
  #most: number;
  #ownFile: boolean;
  readonly #options: LineWriterOptions;
  /** Whole lines that the destination did not take yet, in pieces of what goes out in one write. */
  readonly #chunks: Buffer[] = [];
  #pendingBytes = 0;
  /** How much of the first chunk is written: its rest must go out before anything else. */
  #written = 0;
  #timer: NodeJS.Timeout | undefined;
  #trouble = false;
  /** A pipe that somebody else has opened for us, and whose reader has gone, takes nothing any more. */
  #isHopeless = false;
  #lost = 0;

  /** @param fd an open descriptor; a file must be open for appending. */
  constructor(fd: number, options: LineWriterOptions = {}) {
    this.#fd = fd;
    this.#ownFile = options.ownFile ?? false;
    this.#most = mostTo(fd, this.#ownFile);
    this.#options = options;
  }

  /** Whether it is a file of ours, rather than a stream that others have opened for us. */
  get isOwnFile(): boolean {
    return this.#ownFile;
  }

  /** How many bytes of lines may be written together at most: more could be torn by other writers. */
  get most(): number {
    return this.#most;
  }

  /** Writes a line, or several, with the newline at the end. */
  write(text: string): void {
    this.#take(Buffer.from(text), 1);
  }

  /** Writes so many lines at once, from memory that the caller goes on using. */
  writeBytes(bytes: Buffer, lines: number): void {
    this.#take(bytes, lines);
    if (this.#chunks.at(-1) === bytes) this.#chunks[this.#chunks.length - 1] = Buffer.from(bytes);
  }

  #take(bytes: Buffer, lines: number): void {
    // Where nothing waits, the destination may well take more than is to wait.
    if (this.#pendingBytes > 0 && this.#pendingBytes + bytes.length > MAX_PENDING) {
      this.#lost += lines;
      return;
    }
    this.#pendingBytes += bytes.length;
    this.#chunks.push(bytes);
    this.#writeNow();
  }

  /**
   * Writes everything that waits before returning, for a process that is about to end. Gives up after a second.
   *
   * @returns what others have to take care of.
   */
  flushSync(): Left {
    const until = performance.now() + LAST_FLUSH;
    while (this.#pendingBytes > 0) {
      if (this.#writeNow()) continue;
      if (this.#isHopeless || performance.now() >= until) break;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
    this.#startOver();
    const left = { lines: Buffer.concat(this.#chunks), lost: this.#lost };
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#chunks.length = 0;
    this.#pendingBytes = 0;
    this.#lost = 0;
    return left;
  }

  /**
   * Goes on in another file, which is open for appending, and our own; the one so far is closed if it was that, too.
   * What waits still goes to the old one, as far as that takes it; a line that is cut short there is written whole
   * to the new one.
   */
  reopen(fd: number): void {
    this.#writeNow();
    this.#startOver();
    if (this.#ownFile) closeQuietly(this.#fd);
    this.#fd = fd;
    this.#ownFile = true;
    this.#most = mostTo(fd, true);
    this.#isHopeless = false;
    this.#writeNow();
  }

  /** Writes what waits; false if the destination did not take it all. */
  #writeNow(): boolean {
    for (let chunk = this.#chunks[0]; chunk; chunk = this.#chunks[0]) {
      try {
        this.#written += writeSync(this.#fd, chunk, this.#written);
      } catch (error) {
        this.#failed(error as Error);
        return false;
      }
      if (this.#written === chunk.length) this.#done();
    }
    return true;
  }

  /** What waits is to go elsewhere, from the start of a line that was cut short. */
  #startOver(): void {
    const [current] = this.#chunks;
    if (!current || this.#written === 0) return;
    const torn = current.lastIndexOf('\n', this.#written - 1) + 1;
    // A piece of its own, not an offset: `#written` is what the file has that is open now, which may take it back.
    this.#chunks[0] = current.subarray(torn);
    this.#pendingBytes -= torn;
    this.#written = 0;
  }

  #done(): void {
    this.#chunks.shift();
    this.#pendingBytes -= this.#written;
    this.#written = 0;
    // What is said then may be for this destination: sooner there would be no room for it.
    if (this.#chunks.length > 0 || (!this.#trouble && this.#lost === 0)) return;
    const lost = this.#lost;
    this.#trouble = false;
    this.#lost = 0;
    this.#options.onTrouble?.({ lost });
  }

  #failed(error: Error): void {
    if (this.#written > 0) this.#takeBack();
    this.#retryLater();
    this.#isHopeless = errorCode(error) === 'EPIPE' && !this.#ownFile;
    // A pipe that is full for the moment is no trouble.
    if (errorCode(error) === 'EAGAIN' || this.#trouble) return;
    this.#trouble = true;
    this.#options.onTrouble?.({ error });
  }

  /**
   * A disk became full in the middle of a line, and another process would go on there once there is room again.
   * What was written is taken back at once, while the disk is full and nobody else can have written behind it.
   */
  #takeBack(): void {
    if (!this.#ownFile) return;
    try {
      ftruncateSync(this.#fd, fstatSync(this.#fd).size - this.#written);
      this.#written = 0;
    } catch {
      // A device or a named pipe: the rest of the line follows later.
    }
  }

  #retryLater(): void {
    if (this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#writeNow();
    }, RETRY_AFTER);
    this.#timer.unref();
  }
}

function mostTo(fd: number, ownFile: boolean): number {
  return ownFile && fstatSync(fd).isFile() ? MAX_APPEND : MAX_LINE;
}

/** A network file system tells only now that it lost something: there is nobody to write it again. */
function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {}
}

/**
 * Opens a log file for appending and creates it if it is missing (mode 0666 less the umask).
 *
 * @param how.wary whether to follow a link, as the last part of the path, only if nobody but root can have put it there.
 * @throws the system's error if that is impossible, EISDIR for a directory, ELOOP for such a link.
 */
export function openLog(path: string, { wary = false } = {}): number {
  const { O_WRONLY, O_APPEND, O_NONBLOCK, O_NOFOLLOW } = constants;
  // Nobody but root can change that answer, or what it is about, before the file is opened.
  const follow = !wary || isLinkOfRoot(path);
  const flags = O_WRONLY | O_APPEND | (follow ? 0 : O_NOFOLLOW);
  let fd: number;
  try {
    // A named pipe without a reader would have us wait for one, and hear no signal meanwhile: so it fails with ENXIO.
    fd = openOrCreate(path, flags | O_NONBLOCK);
  } catch (error) {
    if (follow || errorCode(error) !== 'ELOOP') throw error;
    const reason = 'ELOOP: it is a symbolic link that others than root could have put there';
    throw Object.assign(new Error(reason), { code: 'ELOOP' });
  }
  const opened = fstatSync(fd);
  if (opened.isDirectory()) throw Object.assign(new Error('is a directory'), { code: 'EISDIR' });
  if (!opened.isFIFO()) return fd;
  // There is a reader: for one that is slow, writes are to wait.
  try {
    return openSync(path, flags);
  } finally {
    closeSync(fd);
  }
}

/** In /tmp and the like the kernel refuses even root to create what is there already, as the file of somebody else. */
function openOrCreate(path: string, flags: number): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    return openSync(path, flags | constants.O_CREAT, 0o666);
  }
}

/** Such as /dev/stderr: a link of root's, in a directory that only root may write to. */
function isLinkOfRoot(path: string): boolean {
  const link = lstatSync(path, { throwIfNoEntry: false });
  if (!link?.isSymbolicLink() || link.uid !== 0) return false;
  const { uid, mode } = statSync(dirname(path));
  return uid === 0 && (mode & 0o022) === 0;
}

/**
 * Creates a log file that is missing, for somebody who may not create it there. An existing one stays as it is, and
 * whose it is: a link that stands there might lead anywhere. What fails here is told by whoever opens the file.
 */
export function createLog(path: string, { uid, gid }: { uid: number; gid: number }): void {
  try {
    const fd = openSync(path, 'ax', 0o666);
    try {
      fchownSync(fd, uid, gid);
    } finally {
      closeSync(fd);
    }
  } catch {}
}
