/**
 * Writes whole lines to a file descriptor that other processes write to as well. Knows about chunks, retries and
 * full disks; what is in a line is the business of `log.ts`.
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

/** How long a buffered line may wait, in milliseconds. */
const FLUSH_EVERY = 1000;
/** How long to wait before trying a destination again that did not take a line, in milliseconds. */
const RETRY_AFTER = 100;
/** Bytes that wait at most for a destination that takes nothing; lines after that are dropped and counted. */
const MAX_PENDING = 1 << 20;
/** How long the last flush before the process ends tries at most, in milliseconds. */
const LAST_FLUSH = 1000;

export interface LineWriterOptions {
  /** Whether lines may wait up to a second to go out together; otherwise each is written at once. */
  buffered: boolean;
  /** A file that was opened for appending, rather than a stream that others have opened for us. */
  ownFile?: boolean;
  /** Told once when the destination stops taking lines, and once when it takes them again, with the lines lost. */
  onTrouble?: (event: { error: Error } | { lost: number }) => void;
}

/**
 * A destination for lines that never throws and never tears a line. Writes are synchronous, as in nginx: cheaper than
 * a thread's, and nothing is on its way when the process ends.
 */
export class LineWriter {
  #fd: number;
  #maxWrite: number;
  readonly #options: LineWriterOptions;
  /** Lines in chunks of what goes out in one write. */
  readonly #chunks: Chunk[] = [];
  #pendingBytes = 0;
  /** The chunk that is being written, and how much of it is: its rest must go out before anything else. */
  #current: Buffer | undefined;
  #written = 0;
  #timer: NodeJS.Timeout | undefined;
  #trouble = false;
  #lost = 0;

  /** @param fd an open descriptor; a file must be open for appending. */
  constructor(fd: number, options: LineWriterOptions) {
    this.#fd = fd;
    this.#maxWrite = maxWriteTo(fd, options);
    this.#options = options;
  }

  /**
   * Takes one line, or several, with the newline at the end.
   *
   * @param bytes of the line, for who knows them already.
   */
  write(line: string, bytes = Buffer.byteLength(line)): void {
    if (this.#pendingBytes + bytes > MAX_PENDING) {
      this.#lost++;
      return;
    }
    this.#pendingBytes += bytes;
    let last = this.#chunks.at(-1);
    if (!last || last.bytes + bytes > this.#maxWrite) {
      last = new Chunk();
      this.#chunks.push(last);
    }
    last.add(line, bytes);
    if (!this.#options.buffered) this.#writeNow();
    else {
      if (this.#chunks.length > 1 && !this.#trouble) this.#writeNow(1);
      this.#arm(FLUSH_EVERY);
    }
  }

  /** Writes everything that waits before returning, for a process that is about to end. Gives up after a second. */
  flushSync(): void {
    const until = Date.now() + LAST_FLUSH;
    while (this.#pendingBytes > 0) {
      if (this.#writeNow()) continue;
      if (Date.now() >= until) return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }

  /**
   * Goes on in another file, which is open for appending as well, and closes the one so far if that is our own.
   * What waits still goes to the old one, as far as that takes it; a line that is cut short there is written whole
   * to the new one.
   */
  reopen(fd: number): void {
    this.#writeNow();
    if (this.#current && this.#written > 0) {
      const torn = this.#current.lastIndexOf('\n', this.#written - 1) + 1;
      // A piece of its own, not an offset: `#written` is what the file has that is open now, which may take it back.
      this.#current = this.#current.subarray(torn);
      this.#pendingBytes -= torn;
      this.#written = 0;
    }
    const old = this.#fd;
    this.#fd = fd;
    this.#maxWrite = maxWriteTo(fd, this.#options);
    if (this.#options.ownFile) closeQuietly(old);
    this.#writeNow();
  }

  /** Writes until only so many chunks are left; false if the destination did not take it all. */
  #writeNow(leave = 0): boolean {
    let chunk = this.#next(leave);
    while (chunk) {
      try {
        this.#written += writeSync(this.#fd, chunk, this.#written);
      } catch (error) {
        this.#failed(error as Error);
        return false;
      }
      if (this.#written === chunk.length) this.#done(chunk);
      chunk = this.#next(leave);
    }
    return true;
  }

  #next(leave: number): Buffer | undefined {
    if (!this.#current && this.#chunks.length > leave) this.#current = this.#chunks.shift()!.encoded();
    return this.#current;
  }

  #done(chunk: Buffer): void {
    this.#current = undefined;
    this.#written = 0;
    this.#pendingBytes -= chunk.length;
    if (!this.#trouble && this.#lost === 0) return;
    const lost = this.#lost;
    this.#trouble = false;
    this.#lost = 0;
    this.#options.onTrouble?.({ lost });
  }

  #failed(error: Error): void {
    if (this.#written > 0) this.#takeBack();
    this.#arm(RETRY_AFTER);
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
    if (!this.#options.ownFile) return;
    try {
      ftruncateSync(this.#fd, fstatSync(this.#fd).size - this.#written);
      this.#written = 0;
    } catch {
      // A device or a named pipe: the rest of the line follows later.
    }
  }

  #arm(delay: number): void {
    if (this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#writeNow();
    }, delay);
    this.#timer.unref();
  }
}

/** How many characters are encoded together, at least. */
const PIECE = 2048;

/** Whole lines that go out in one write. */
class Chunk {
  /** What they take in UTF-8. */
  bytes = 0;
  readonly #pieces: Buffer[] = [];
  #text = '';
  #bytesBefore = 0;

  add(line: string, bytes: number): void {
    this.#text += line;
    this.bytes += bytes;
    // V8 only links what is added to a text, and copies the parts when it is read: by the end they had left the CPU's cache.
    if (this.#text.length >= PIECE) this.#encode();
  }

  encoded(): Buffer {
    if (this.#text) this.#encode();
    return this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces);
  }

  #encode(): void {
    // As many bytes as characters: then it is ASCII, of which Latin-1 makes the same without looking at it.
    const isAscii = this.bytes - this.#bytesBefore === this.#text.length;
    this.#pieces.push(Buffer.from(this.#text, isAscii ? 'latin1' : 'utf8'));
    this.#text = '';
    this.#bytesBefore = this.bytes;
  }
}

function maxWriteTo(fd: number, { buffered, ownFile }: LineWriterOptions): number {
  return buffered && ownFile && fstatSync(fd).isFile() ? MAX_APPEND : MAX_LINE;
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
 * @param how.wait whether to wait for the reader of a named pipe that has none, rather than fail with ENXIO.
 * @param how.wary whether to follow a link, as the last part of the path, only if nobody but root can have put it there.
 * @throws the system's error if that is impossible, EISDIR for a directory, ELOOP for such a link.
 */
export function openLog(path: string, { wait = true, wary = false } = {}): number {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK, O_NOFOLLOW } = constants;
  // Nobody but root can change that answer, or what it is about, before the file is opened.
  const follow = !wary || isLinkOfRoot(path);
  const flags = O_WRONLY | O_APPEND | O_CREAT | (wait ? 0 : O_NONBLOCK) | (follow ? 0 : O_NOFOLLOW);
  let fd: number;
  try {
    fd = openSync(path, flags, 0o666);
  } catch (error) {
    if (follow || errorCode(error) !== 'ELOOP') throw error;
    const reason = 'ELOOP: it is a symbolic link that others than root could have put there';
    throw Object.assign(new Error(reason), { code: 'ELOOP' });
  }
  if (fstatSync(fd).isDirectory()) throw Object.assign(new Error('is a directory'), { code: 'EISDIR' });
  return fd;
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
