/**
 * The two logs: the error log of the arbiter, the workers and the app, and the access log of a worker. Knows pino
 * and pino-pretty; where bytes go and when is the business of `log-file.ts`.
 */
import { createRequire } from 'node:module';
import { WriteStream } from 'node:tty';
import type { Logger } from 'pino';
import type { PrettyOptions } from 'pino-pretty';
import type { Config } from './config/settings.ts';
import { LineBuffer } from './line-buffer.ts';
import { type AwayEvent, checkLogFile, createLogFile, LogFile, type LogPlace } from './log-file.ts';

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
   * cannot be opened, the error log says so, and what is in use stays so.
   *
   * @returns why it cannot be opened.
   */
  reopen(): string | undefined;
}

/** A log for what pino writes. */
export interface OpenLog extends OpenFile {
  logger: Logger;
  /** Has lines from now on the level and the form of these settings. */
  follow(settings: Pick<LogSettings, 'logLevel' | 'pretty'>): void;
}

/** A log for finished lines of JSON in ASCII. */
export interface OpenAccessLog extends OpenFile {
  lines: LineBuffer;
}

export interface ErrorLogOptions {
  /** What each line says about who speaks, besides the pid. */
  fields?: Record<string, unknown>;
  /** Picks lines that are not written, by the arguments of the call. */
  isNoise?(args: readonly unknown[]): boolean;
  /** Has the logger made at once, or when it is first spoken to. */
  when?(make: () => Logger): Logger;
  /** Whether the standard stream takes the place of a file as long as that cannot be opened. */
  isDispensable?: boolean | undefined;
}

/**
 * The error log: each line is written at once, so that nothing is lost when the process is killed.
 *
 * @throws UserError if the file cannot be opened, and is indispensable.
 */
export function openErrorLog(settings: LogSettings, options: ErrorLogOptions = {}): OpenLog {
  const { fields, isNoise = () => false, when = (make) => make(), isDispensable = false } = options;
  const [place] = placesOf(settings);
  const file = new LogFile(place, {
    isDispensable,
    onTrouble(event) {
      if ('lost' in event && event.lost > 0)
        logger.warn(`error log: writing again, ${event.lost} lines were lost`);
    },
    onAway: (event) => tellAway(logger, place, 'standard error', event),
  });
  const { writer, isTerminal } = file;
  const inColour = hasColours(isTerminal);
  let level = settings.logLevel;
  let format = isPretty(settings, isTerminal) ? prettyError(inColour) : undefined;
  let made: Logger | undefined;
  const logger = when(() => {
    const { pino } = require('pino') as typeof import('pino');
    made = pino(
      {
        level,
        base: { pid: process.pid, ...fields },
        hooks: {
          logMethod(args, method) {
            if (!isNoise(args)) method.apply(this, args);
          },
        },
      },
      { write: (json) => writer.write(format ? format(json) : json) },
    );
    return made;
  });
  return {
    logger,
    flushSync: () => void file.flushSync(),
    reopen() {
      const reason = file.reopen();
      if (reason !== undefined) logger.error(reason);
      return reason;
    },
    follow(next) {
      level = next.logLevel;
      // For pino it is work, and we are asked often.
      if (made && made.level !== level) made.level = level;
      format = isPretty(next, isTerminal) ? (format ?? prettyError(inColour)) : undefined;
    },
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
 * @param isDispensable whether the standard stream takes the place of a file as long as that cannot be opened.
 * @throws UserError if the file cannot be opened, and is indispensable.
 */
export function openAccessLog(
  settings: LogSettings,
  errorLog: Logger,
  isDispensable = false,
): OpenAccessLog | undefined {
  const [, place] = placesOf(settings);
  if (!place) return undefined;
  const name = place.path === '-' ? 'standard output' : place.path;
  const file = new LogFile(place, {
    isDispensable,
    onTrouble(event) {
      if ('error' in event) errorLog.error(`access log (${name}): ${event.error.message}; still trying`);
      else errorLog.info(`access log (${name}): writing again, ${event.lost} lines were lost`);
    },
    onAway: (event) => tellAway(errorLog, place, 'standard output', event),
  });
  const { writer, isTerminal } = file;
  const format = isPretty(settings, isTerminal) ? prettyAccess(hasColours(isTerminal)) : undefined;
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
      const { rescued, lost } = file.flushSync();
      if (rescued + lost === 0) return;
      const how =
        rescued > 0
          ? `${rescued} lines have gone to standard output, ${lost} were lost`
          : `${lost} lines were lost`;
      errorLog.error(`access log (${name}): it took no more until the process ended: ${how}`);
    },
    reopen() {
      lines.flush();
      const reason = file.reopen();
      if (reason !== undefined) errorLog.error(reason);
      // It may be another kind of file.
      lines.flush();
      return reason;
    },
  };
}

function tellAway(errorLog: Logger, { flag, path }: LogPlace, instead: string, event: AwayEvent): void {
  if (event === 'back') errorLog.info(`${flag} ${path}: it can be opened again, and is in use`);
  else errorLog.error(`${event.error.message}; going on with ${instead} until it can be`);
}

/** Unless it is said, each log is for people where it goes to a terminal, and for programs elsewhere. */
function isPretty({ pretty }: Pick<LogSettings, 'pretty'>, isTerminal: boolean): boolean {
  return pretty ?? isTerminal;
}

/** By what Node knows of terminals, and of NO_COLOR and FORCE_COLOR. */
function hasColours(isTerminal: boolean): boolean {
  return isTerminal && WriteStream.prototype.getColorDepth() > 1;
}

/** Where the error log goes to, and the access log unless it is off. */
function placesOf(settings: LogSettings): [error: LogPlace, access?: LogPlace] {
  const { errorLogfile, accessLogfile, user, group } = settings;
  // A directory may be that of a user with fewer rights, whose links must not lead us anywhere.
  const wary = (user !== undefined || group !== undefined) && process.geteuid?.() === 0;
  const error = { flag: '--error-logfile', path: errorLogfile, wary } as const;
  return accessLogfile === 'off' ? [error] : [error, { flag: '--access-logfile', path: accessLogfile, wary }];
}

/**
 * Makes sure that both logs can be opened, and makes none.
 *
 * @param areMade whether those that are missing are made for us, by somebody who may.
 * @throws UserError as opening them would.
 */
export function checkLogs(settings: LogSettings, areMade = false): void {
  for (const place of placesOf(settings)) if (place) checkLogFile(place, areMade);
}

/** Creates the log files that are missing, for workers that run as somebody who may not create them. */
export function createLogs(settings: LogSettings, owner: { uid: number; gid: number }): void {
  for (const place of placesOf(settings)) if (place) createLogFile(place, owner);
}

type Format = (json: string) => string;

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
