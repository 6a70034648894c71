/**
 * The file of a log: how it is opened, opened anew after it was moved away, and what takes its place where it cannot be.
 * Knows paths, users and words for what fails; how bytes get there is the business of `line-writer.ts`.
 */
import { accessSync, closeSync, constants, existsSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { isatty } from 'node:tty';
import { errorCode, UserError } from './errors.ts';
import { createLog, LineWriter, type LineWriterOptions, openLog } from './line-writer.ts';

/** How often a file is tried again that could not be opened, in milliseconds. */
const RETRY_EVERY = 10_000;

/** Which log it is, where it goes to (`-` for the standard stream), and how careful one has to be with links there. */
export interface LogPlace {
  flag: '--error-logfile' | '--access-logfile';
  path: string;
  wary: boolean;
}

/** Why the standard stream takes the place of a file, or that this is over. */
export type AwayEvent = { error: UserError } | 'back';

export interface LogFileOptions extends Required<Pick<LineWriterOptions, 'onTrouble'>> {
  /** Whether the standard stream takes its place as long as it cannot be opened: who serves goes on. */
  isDispensable: boolean;
  onAway(event: AwayEvent): void;
}

/** An open log. */
export class LogFile {
  readonly #place: LogPlace;
  readonly #options: LogFileOptions;
  /** What was opened: a terminal is one only where that is what was asked for. */
  readonly isTerminal: boolean;
  readonly writer: LineWriter;
  /** Runs while the standard stream takes its place. */
  #retry: NodeJS.Timeout | undefined;

  /** @throws UserError if it cannot be opened, and is indispensable. */
  constructor(place: LogPlace, options: LogFileOptions) {
    this.#place = place;
    this.#options = options;
    const file = place.path === '-' ? undefined : this.#open();
    const fd = file ?? standard[place.flag];
    this.isTerminal = isatty(fd) && (file !== undefined || place.path === '-');
    this.writer = new LineWriter(fd, { ownFile: file !== undefined, onTrouble: options.onTrouble });
  }

  /**
   * Opens the file anew by its path, after it was moved away; a standard stream stays as it is. Never throws.
   *
   * @returns why it cannot be opened, so that lines go where they went before; undefined if it is.
   */
  reopen(): string | undefined {
    if (this.#place.path === '-') return undefined;
    let fd: number;
    try {
      fd = openLog(this.#place.path, this.#place);
    } catch (error) {
      const { flag, path } = this.#place;
      const stays = this.#retry ? 'the standard stream' : 'the old file';
      return `${flag} ${path}: cannot open it anew, so ${stays} stays in use: ${(error as Error).message}`;
    }
    this.writer.reopen(fd);
    if (this.#retry) this.#options.onAway('back');
    clearInterval(this.#retry);
    this.#retry = undefined;
    return undefined;
  }

  /**
   * Writes what waits before returning, for a process that is about to end: to the standard stream what the file does not
   * take within a second.
   *
   * @returns how many lines that were, and how many are lost.
   */
  flushSync(): { rescued: number; lost: number } {
    const { writer } = this;
    const left = writer.flushSync();
    const count = linesIn(left.lines);
    if (count === 0 || !writer.isOwnFile) return { rescued: 0, lost: left.lost + count };
    const fd = standard[this.#place.flag];
    const instead = new LineWriter(unblocked(fd) ?? fd);
    for (const piece of piecesOf(left.lines, instead.most)) instead.writeBytes(piece, linesIn(piece));
    const rest = instead.flushSync();
    const lost = linesIn(rest.lines) + rest.lost;
    return { rescued: count - lost, lost: left.lost + lost };
  }

  #open(): number | undefined {
    try {
      return openLog(this.#place.path, this.#place);
    } catch (cause) {
      const error = cannotOpen(this.#place, cause);
      if (!this.#options.isDispensable) throw error;
      this.#retry = setInterval(() => this.reopen(), RETRY_EVERY).unref();
      // What is told there may have to be written here.
      queueMicrotask(() => this.#options.onAway({ error }));
      return undefined;
    }
  }
}

const standard = { '--error-logfile': 2, '--access-logfile': 1 } as const;

/** The same file or pipe, but so that writes do not wait for who reads; undefined for a socket, which cannot be opened. */
function unblocked(fd: number): number | undefined {
  const { O_WRONLY, O_APPEND, O_NONBLOCK } = constants;
  try {
    return openSync(`/dev/fd/${fd}`, O_WRONLY | O_APPEND | O_NONBLOCK);
  } catch {
    return undefined;
  }
}

function linesIn(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf('\n'); at >= 0; at = bytes.indexOf('\n', at + 1)) count++;
  return count;
}

/** Whole lines, as many together as other writers cannot tear. */
function* piecesOf(lines: Buffer, most: number): Generator<Buffer> {
  for (let start = 0, end = 0; start < lines.length; start = end) {
    end = lines.lastIndexOf('\n', start + most - 1) + 1;
    if (end <= start) end = lines.indexOf('\n', start) + 1;
    yield lines.subarray(start, end);
  }
}

/**
 * Makes sure that a log can be opened, and makes none.
 *
 * @param isMade whether it is made for us where it is missing, by somebody who may.
 * @throws UserError as opening it would.
 */
export function checkLogFile(place: LogPlace, isMade = false): void {
  const { path } = place;
  if (path === '-') return;
  try {
    if (existsSync(path)) closeSync(openLog(path, place));
    else accessSync(dirname(path), constants.X_OK | (isMade ? 0 : constants.W_OK));
  } catch (error) {
    throw cannotOpen(place, error);
  }
}

/** Creates a log file that is missing, for somebody who may not create it there. What fails here is told by whoever opens it. */
export function createLogFile({ path }: LogPlace, owner: { uid: number; gid: number }): void {
  if (path !== '-') createLog(path, owner);
}

function cannotOpen({ flag, path }: LogPlace, error: unknown): UserError {
  return new UserError(`${flag} ${path}: cannot open it for appending: ${reasonFor(path, error)}`);
}

/** Why a log cannot be opened; the system's reason names the path once more. */
function reasonFor(path: string, error: unknown): string {
  const directory = dirname(path);
  if (errorCode(error) === 'ENOENT' && !existsSync(directory))
    return `the directory ${directory} does not exist; create it first`;
  if (errorCode(error) === 'ENXIO' && statSync(path, { throwIfNoEntry: false })?.isFIFO())
    return 'nobody reads from this named pipe; start its reader first';
  return (error as Error).message.replace(/, \w+ '.*'$/s, '');
}
