/**
 * The two logs: the error log of the arbiter, the workers and the app, and the access log of a worker. Knows pino
 * and pino-pretty; where bytes go and when is the business of `line-writer.ts`.
 */
import { accessSync, closeSync, constants, existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { isatty, WriteStream } from 'node:tty';
import type { DestinationStream, Logger } from 'pino';
import type { PrettyOptions } from 'pino-pretty';
import type { Config } from './config/settings.ts';
import { errorCode, UserError } from './errors.ts';
import { LineBuffer } from './line-buffer.ts';
import { createLog, LineWriter, openLog } from './line-writer.ts';

export type { Logger };

const require = createRequire(import.meta.url);

/** What the logs need of the configuration. */
export type LogSettings = Pick<Config, 'errorLogfile' | 'accessLogfile' | 'logLevel' | 'pretty'> &
  Partial<Pick<Config, 'user' | 'group'>>;

/** A log that can be told to get its last lines out. */
interface OpenFile {
  /** Writes what is buffered before returning; for a process that is about to end. */
  flushSync(): void;
  /**
   * Opens the file anew by its path, after it was moved away; a standard stream stays as it is. Never throws: if it
   * cannot be opened, the error log says so and the old file stays in use.
   */
  reopen(): void;
}

/** A log for what pino writes. */
export interface OpenLog extends OpenFile {
  logger: Logger;
}

/** A log for finished lines of JSON in ASCII. */
export interface OpenAccessLog extends OpenFile {
  lines: LineBuffer;
}

/**
 * The error log: each line is written at once, so that nothing is lost when the process is killed.
 *
 * @param fields what each line says about who speaks, besides the pid.
 * @param isNoise picks lines that are not written, by the arguments of the call.
 * @param when has the logger made at once, or when it is first spoken to.
 * @throws UserError if the file cannot be opened.
 */
export function openErrorLog(
  settings: LogSettings,
  fields: Record<string, unknown> = {},
  isNoise: (args: readonly unknown[]) => boolean = () => false,
  when: (make: () => Logger) => Logger = (make) => make(),
): OpenLog {
  const fd =
    settings.errorLogfile === '-' ? 2 : open('--error-logfile', settings.errorLogfile, isWary(settings));
  const writer = new LineWriter(fd, {
    ownFile: settings.errorLogfile !== '-',
    onTrouble(event) {
      if ('lost' in event && event.lost > 0)
        logger.warn(`error log: writing again, ${event.lost} lines were lost`);
    },
  });
  // Asked now: later the descriptor may be another file's.
  const [forPeople, inColour] = [isPretty(settings, fd), hasColours(fd)];
  const logger = when(() => {
    const { pino } = require('pino') as typeof import('pino');
    return pino(
      {
        level: settings.logLevel,
        base: { pid: process.pid, ...fields },
        hooks: {
          logMethod(args, method) {
            if (!isNoise(args)) method.apply(this, args);
          },
        },
      },
      forPeople ? formatted(writer, prettyError(inColour)) : writer,
    );
  });
  return {
    logger,
    flushSync: () => writer.flushSync(),
    reopen: () => reopen(writer, '--error-logfile', settings, logger),
  };
}

/** Has a logger, which is only to be written to, made by its first line: loading pino is slow. */
export function onDemand(make: () => Logger): Logger {
  let logger: Logger | undefined;
  return new Proxy({} as Logger, {
    get(_, property) {
      logger ??= make();
      return Reflect.get(logger, property) as unknown;
    },
  });
}

/**
 * The access log: lines wait up to a second to be written together. Undefined when it is off.
 *
 * @param errorLog is told once when the access log stops taking lines, and once when it takes them again.
 * @throws UserError if the file cannot be opened.
 */
export function openAccessLog(settings: LogSettings, errorLog: Logger): OpenAccessLog | undefined {
  const { accessLogfile } = settings;
  if (accessLogfile === 'off') return undefined;
  const place = accessLogfile === '-' ? 'standard output' : accessLogfile;
  const fd = accessLogfile === '-' ? 1 : open('--access-logfile', accessLogfile, isWary(settings));
  const forPeople = isPretty(settings, fd);
  const writer = new LineWriter(fd, {
    ownFile: accessLogfile !== '-',
    onTrouble(event) {
      if ('error' in event) errorLog.error(`access log (${place}): ${event.error.message}; still trying`);
      else errorLog.info(`access log (${place}): writing again, ${event.lost} lines were lost`);
    },
  });
  const format = forPeople ? prettyAccess(hasColours(fd)) : undefined;
  const lines = new LineBuffer({
    // On a terminal a line is wanted when it happens, in its place between those of the error log.
    most: () => (format ? 0 : writer.most),
    deliver: (bytes, count) =>
      format ? writer.write(format(bytes.toString('latin1'))) : writer.writeBytes(bytes, count),
  });
  return {
    lines,
    flushSync() {
      lines.flush();
      writer.flushSync();
    },
    reopen() {
      lines.flush();
      reopen(writer, '--access-logfile', settings, errorLog);
      // It may be another kind of file.
      lines.flush();
    },
  };
}

/** Unless it is said, each log is for people where it goes to a terminal, and for programs elsewhere. */
function isPretty({ pretty }: LogSettings, fd: number): boolean {
  return pretty ?? isatty(fd);
}

/** By what Node knows of terminals, and of NO_COLOR and FORCE_COLOR. */
function hasColours(fd: number): boolean {
  return isatty(fd) && WriteStream.prototype.getColorDepth() > 1;
}

/** Whether the directory of a log may be that of a user with fewer rights, whose links must not lead us anywhere. */
function isWary({ user, group }: LogSettings): boolean {
  return (user !== undefined || group !== undefined) && process.geteuid?.() === 0;
}

function open(flag: string, path: string, wary: boolean): number {
  try {
    return openLog(path, { wary });
  } catch (error) {
    throw cannotOpen(flag, path, error);
  }
}

function cannotOpen(flag: string, path: string, error: unknown): UserError {
  return new UserError(`${flag} ${path}: cannot open it for appending: ${reasonFor(path, error)}`);
}

/** Why a log cannot be opened; the system's reason names the path once more. */
function reasonFor(path: string, error: unknown): string {
  const directory = dirname(path);
  if (errorCode(error) === 'ENOENT' && !existsSync(directory))
    return `the directory ${directory} does not exist; create it first`;
  return (error as Error).message.replace(/, \w+ '.*'$/s, '');
}

function reopen(
  writer: LineWriter,
  flag: '--error-logfile' | '--access-logfile',
  settings: LogSettings,
  errorLog: Logger,
): void {
  const path = settings[flag === '--error-logfile' ? 'errorLogfile' : 'accessLogfile'];
  if (path === '-') return;
  let fd: number;
  try {
    // Without waiting: a worker that serves must not hang for the reader of a named pipe.
    fd = openLog(path, { wait: false, wary: isWary(settings) });
  } catch (error) {
    const reason = (error as Error).message;
    errorLog.error(`${flag} ${path}: cannot open it anew, so the old file stays in use: ${reason}`);
    return;
  }
  writer.reopen(fd);
}

/**
 * Makes sure that both logs can be opened, and makes none.
 *
 * @throws UserError as opening them would.
 */
export function checkLogs(settings: LogSettings): void {
  const { errorLogfile, accessLogfile } = settings;
  const wary = isWary(settings);
  if (errorLogfile !== '-') check('--error-logfile', errorLogfile, wary);
  if (!['-', 'off'].includes(accessLogfile)) check('--access-logfile', accessLogfile, wary);
}

function check(flag: string, path: string, wary: boolean): void {
  try {
    if (existsSync(path)) closeSync(openLog(path, { wait: false, wary }));
    else accessSync(dirname(path), constants.W_OK | constants.X_OK);
  } catch (error) {
    // A server would wait for the reader of a named pipe.
    if (errorCode(error) === 'ENXIO' && statSync(path).isFIFO()) return;
    throw cannotOpen(flag, path, error);
  }
}

/** Creates the log files that are missing, for workers that run as somebody who may not create them. */
export function createLogs(
  { errorLogfile, accessLogfile }: LogSettings,
  owner: { uid: number; gid: number },
): void {
  if (errorLogfile !== '-') createLog(errorLogfile, owner);
  if (!['-', 'off'].includes(accessLogfile)) createLog(accessLogfile, owner);
}

type Format = (json: string) => string;

/** Has lines formatted for people on their way to the log. */
function formatted(writer: LineWriter, format: Format): DestinationStream {
  return { write: (json) => writer.write(format(json)) };
}

/** `[12:00:00.000] ERROR: worker 1: it failed {"reqId":"1"}`, and the stack. */
function prettyError(colorize: boolean): Format {
  // Only loaded where it is used, as it costs a worker boot time.
  const { prettyFactory } = require('pino-pretty') as {
    prettyFactory(options: PrettyOptions): (line: string) => string | undefined;
  };
  const format = prettyFactory({
    colorize,
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
    // The status of a failed request is in the access log.
    ignore: 'pid,hostname,worker,res',
    messageFormat: '{if worker}worker {worker}: {end}{msg}',
    customPrettifiers: { req: shortRequest, err: shortError },
  });
  // What could speak to a terminal and is not escaped in JSON; pino-pretty takes care of messages.
  return (json) => format(json.replace(/[\x7f-\x9f]/g, '')) ?? json;
}

function shortRequest(request: unknown): string {
  const { method, url } = Object(request) as Record<string, unknown>;
  return method ? `${method} ${url}` : JSON.stringify(request);
}

/** The stack as Node prints it, and what else there is. */
function shortError(error: unknown): string {
  if (typeof error !== 'object' || error === null) return JSON.stringify(error);
  const { type: _, message, stack, ...rest } = error as Record<string, unknown>;
  const more = Object.keys(rest).length > 0 ? `\n${JSON.stringify(rest)}` : '';
  return `${stack ?? message ?? ''}${more}`.replace(/[^\P{Cc}\n]/gu, '');
}

/** `[12:00:00.000] 127.0.0.1 "GET /" 200, 165 bytes in 10.9 ms`, with the status in the colour of its class. */
function prettyAccess(colorize: boolean): Format {
  const colours = ['', '', 32, 36, 33, 31];
  return (json) => {
    const line = JSON.parse(json) as Record<string, string> & { time: number; status: number; ms: number };
    const time = new Date(line.time);
    const clock = `${time.toTimeString().slice(0, 8)}.${String(time.getMilliseconds()).padStart(3, '0')}`;
    const colour = colours[Math.floor(line.status / 100)];
    const status = colorize && colour ? `\x1b[${colour}m${line.status}\x1b[39m` : line.status;
    const ms = line.ms < 100 ? line.ms.toFixed(1) : Math.round(line.ms);
    return `[${clock}] ${line.remoteAddress} "${line.method} ${line.url}" ${status}, ${line.bytes} bytes in ${ms} ms\n`;
  };
}
