/**
 * The two logs: the error log of the arbiter, the workers and the app, and the access log of a worker. Knows pino
 * and pino-pretty; where bytes go and when is the business of `line-writer.ts`.
 */
import { createRequire } from 'node:module';
import { isatty } from 'node:tty';
import { type DestinationStream, type Logger, pino } from 'pino';
import type { PrettyOptions } from 'pino-pretty';
import type { Config } from './config/settings.ts';
import { UserError } from './errors.ts';
import { LineWriter, openLog } from './line-writer.ts';

export type { Logger };

/** What the logs need of the configuration. */
export type LogSettings = Pick<Config, 'errorLogfile' | 'accessLogfile' | 'logLevel' | 'pretty'>;

/** A log and the way to get its last lines out. */
export interface OpenLog {
  logger: Logger;
  /** Writes what is buffered before returning; for a process that is about to end. */
  flushSync(): void;
}

/**
 * The error log: each line is written at once, so that nothing is lost when the process is killed.
 *
 * @param fields what each line says about who speaks, besides the pid.
 * @param isNoise picks lines that are not written, by the arguments of the call.
 * @throws UserError if the file cannot be opened.
 */
export function openErrorLog(
  settings: LogSettings,
  fields: Record<string, unknown> = {},
  isNoise: (args: readonly unknown[]) => boolean = () => false,
): OpenLog {
  const fd = settings.errorLogfile === '-' ? 2 : open('--error-logfile', settings.errorLogfile);
  const writer = new LineWriter(fd, { buffered: false });
  const logger = pino(
    {
      level: settings.logLevel,
      base: { pid: process.pid, ...fields },
      hooks: {
        logMethod(args, method) {
          if (!isNoise(args)) method.apply(this, args);
        },
      },
    },
    settings.pretty ? pretty(writer, fd, ERROR_LINE) : writer,
  );
  return { logger, flushSync: () => writer.flushSync() };
}

/**
 * The access log: lines wait up to a second to be written together. Undefined when it is off.
 *
 * @param errorLog is told once when the access log stops taking lines, and once when it takes them again.
 * @throws UserError if the file cannot be opened.
 */
export function openAccessLog(settings: LogSettings, errorLog: Logger): OpenLog | undefined {
  const { accessLogfile } = settings;
  if (accessLogfile === 'off') return undefined;
  const fd = accessLogfile === '-' ? 1 : open('--access-logfile', accessLogfile);
  const writer = new LineWriter(fd, {
    // On a terminal a line is wanted when it happens, in its place between those of the error log.
    buffered: !settings.pretty,
    onTrouble(event) {
      if ('error' in event)
        errorLog.error(`access log ${accessLogfile}: ${event.error.message}; still trying`);
      else errorLog.info(`access log ${accessLogfile}: writing again, ${event.lost} lines were lost`);
    },
  });
  const logger = pino(
    { base: { pid: process.pid } },
    settings.pretty ? pretty(writer, fd, ACCESS_LINE) : writer,
  );
  return { logger, flushSync: () => writer.flushSync() };
}

function open(flag: string, path: string): number {
  try {
    return openLog(path);
  } catch (error) {
    throw new UserError(`${flag} ${path}: cannot open it for appending: ${(error as Error).message}`);
  }
}

const ERROR_LINE: PrettyOptions = {
  ignore: 'pid,hostname,worker',
  messageFormat: '{if worker}worker {worker}: {end}{msg}',
};

const ACCESS_LINE: PrettyOptions = {
  // Everything worth reading is in the message.
  include: 'time',
  messageFormat: '{remoteAddress} "{method} {url}" {status}, {bytes} bytes in {ms} ms',
};

/** Formats JSON lines for people. pino-pretty is loaded only where it is used, as it costs a worker boot time. */
function pretty(writer: LineWriter, fd: number, line: PrettyOptions): DestinationStream {
  const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as {
    prettyFactory(options: PrettyOptions): (line: string) => string | undefined;
  };
  const format = prettyFactory({ ...line, colorize: isatty(fd), translateTime: 'SYS:HH:MM:ss.l' });
  return { write: (json) => writer.write(format(json) ?? json) };
}
