/**
 * THE settings table: each setting is declared here, once, and nowhere else. Its type is `Config`; the command
 * line, the environment, `--help`, `--print-config` and the README's reference are all made from it.
 * Knows nothing about where values come from (`load.ts`) or how they are shown (`render.ts`).
 */
import { type Address, formatAddress, parseAddress } from '../address.ts';

/** What a default may depend on: found out once by the command line, so that this table stays pure. */
export interface Machine {
  /** CPUs that this process may use, after affinity and cgroup quota; at least 1. */
  cpus: number;
}

/** How the text of a value is read and shown. */
export interface Kind<T> {
  /** The word that stands for a value in `--help`, e.g. `SECONDS`; empty for a switch. */
  placeholder: string;
  /** Reads a flag's or variable's text. Throws an Error whose message begins with "expected". */
  parse(text: string): T;
  /** The text that `parse` reads back as the same value. */
  show(value: T): string;
}

/**
 * When a changed value takes effect after a reload: at once (`live`), in the workers of the new generation
 * (`workers`), or only when the server is started again (`restart`).
 */
export type Applies = 'live' | 'workers' | 'restart';

/** One row of the table. */
export interface Setting<T> {
  kind: Kind<T>;
  /** The long flag without dashes. A switch also has the form `--no-…`. */
  flag: string;
  /** The one-letter flag without its dash. */
  short?: string;
  /** The environment variable; a flag wins over it. */
  env: string;
  default: T | ((machine: Machine) => T);
  /** Says what a computed default is, where the value alone would mislead. */
  defaultText?: string;
  /** One or two sentences, without the default. */
  help: string;
  section: 'Socket' | 'Workers' | 'Requests' | 'Logging';
  applies: Applies;
}

const text = (placeholder: string): Kind<string> => ({
  placeholder,
  parse(value) {
    if (value === '') throw new Error('expected a value, got an empty one');
    return value;
  },
  show: (value) => value,
});

/** As the access log can be turned off by that word, somebody will try. */
const errorLog: Kind<string> = {
  ...text('FILE'),
  parse(value) {
    if (value === 'off') throw new Error('expected a file or -; to silence the log use --log-level silent');
    return text('FILE').parse(value);
  },
};

const integer = (placeholder: string, least: number, most: number): Kind<number> => ({
  placeholder,
  parse(value) {
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < least || number > most) {
      throw new Error(`expected a whole number from ${least} to ${most}`);
    }
    return number;
  },
  show: String,
});

/** Longer than any sensible timeout, and short enough for a 32-bit timer in milliseconds. */
const A_WEEK = 604_800;

const seconds: Kind<number> = {
  placeholder: 'SECONDS',
  parse(value) {
    const number = Number(value);
    if (!/^\d+(\.\d+)?$/.test(value) || number < 0.001 || number > A_WEEK) {
      throw new Error(`expected a number of seconds from 0.001 to ${A_WEEK}`);
    }
    return number;
  },
  show: String,
};

const octalMode: Kind<number> = {
  placeholder: 'MODE',
  parse(value) {
    if (!/^(0o?)?[0-7]{3}$/.test(value)) throw new Error('expected an octal mode such as 0660');
    return Number.parseInt(value.replace('0o', ''), 8);
  },
  show: (mode) => `0${mode.toString(8).padStart(3, '0')}`,
};

const onOff: Kind<boolean> = {
  placeholder: '',
  parse(value) {
    if (/^(1|true|yes|on)$/i.test(value)) return true;
    if (/^(0|false|no|off)$/i.test(value)) return false;
    throw new Error('expected true or false');
  },
  show: String,
};

const choice = <const T extends string>(placeholder: string, ...choices: T[]): Kind<T> => ({
  placeholder,
  parse(value) {
    const found = choices.find((one) => one === value);
    if (!found) throw new Error(`expected one of ${choices.join(', ')}`);
    return found;
  },
  show: (value) => value,
});

const address: Kind<Address> = { placeholder: 'ADDRESS', parse: parseAddress, show: formatAddress };

const setting = <T>(row: Setting<T>): Setting<T> => row;

export const settings = {
  bind: setting({
    kind: address,
    flag: 'bind',
    short: 'b',
    env: 'FASTICORN_BIND',
    default: { kind: 'unix', path: '/tmp/app.sock' },
    help: 'Listen on unix:/path/to.sock or HOST:PORT.',
    section: 'Socket',
    applies: 'restart',
  }),
  backlog: setting({
    kind: integer('N', 1, 65535),
    flag: 'backlog',
    env: 'FASTICORN_BACKLOG',
    default: 2048,
    help: 'How many connections may wait to be accepted. The kernel caps it at net.core.somaxconn.',
    section: 'Socket',
    applies: 'workers',
  }),
  socketMode: setting({
    kind: octalMode,
    flag: 'socket-mode',
    env: 'FASTICORN_SOCKET_MODE',
    default: 0o666,
    help: 'Mode of the Unix socket, in octal. 0660 lets only its owner and --socket-group connect.',
    section: 'Socket',
    applies: 'restart',
  }),
  socketGroup: setting<string | undefined>({
    kind: text('GROUP'),
    flag: 'socket-group',
    env: 'FASTICORN_SOCKET_GROUP',
    default: undefined,
    defaultText: "the arbiter's group",
    help: "Group of the Unix socket, by name or number: usually that of nginx's workers.",
    section: 'Socket',
    applies: 'restart',
  }),
  workers: setting({
    kind: integer('N', 1, 1024),
    flag: 'workers',
    short: 'w',
    env: 'WEB_CONCURRENCY',
    default: (machine: Machine) => machine.cpus,
    defaultText: 'one per CPU, within cgroup quota',
    help: 'How many worker processes run the app.',
    section: 'Workers',
    applies: 'live',
  }),
  bootTimeout: setting({
    kind: seconds,
    flag: 'boot-timeout',
    env: 'FASTICORN_BOOT_TIMEOUT',
    default: 30,
    help: 'A worker that is not ready after this time counts as failed and is killed.',
    section: 'Workers',
    applies: 'live',
  }),
  gracefulTimeout: setting({
    kind: seconds,
    flag: 'graceful-timeout',
    env: 'FASTICORN_GRACEFUL_TIMEOUT',
    default: 30,
    help: 'How long a stopping worker may take to finish its requests before it is killed.',
    section: 'Workers',
    applies: 'live',
  }),
  keepAlive: setting({
    kind: seconds,
    flag: 'keep-alive',
    env: 'FASTICORN_KEEP_ALIVE',
    default: 75,
    help: "How long an idle keep-alive connection stays open. Keep it above the proxy's own idle time.",
    section: 'Requests',
    applies: 'workers',
  }),
  logLevel: setting({
    kind: choice('LEVEL', 'trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    flag: 'log-level',
    env: 'FASTICORN_LOG_LEVEL',
    default: 'info',
    help: 'Least level of the error log: trace, debug, info, warn, error, fatal or silent.',
    section: 'Logging',
    applies: 'workers',
  }),
  accessLogfile: setting({
    kind: text('FILE'),
    flag: 'access-logfile',
    env: 'FASTICORN_ACCESS_LOGFILE',
    default: '-',
    help: 'Where the access log goes: a file, - for standard output, or off.',
    section: 'Logging',
    applies: 'workers',
  }),
  errorLogfile: setting({
    kind: errorLog,
    flag: 'error-logfile',
    env: 'FASTICORN_ERROR_LOGFILE',
    default: '-',
    help: 'Where the error log and the app.log of the app go: a file, or - for standard error.',
    section: 'Logging',
    applies: 'restart',
  }),
  pretty: setting<boolean | undefined>({
    kind: onOff,
    flag: 'pretty',
    env: 'FASTICORN_PRETTY',
    default: undefined,
    defaultText: 'each log that goes to a terminal',
    help: 'Logs for people (pino-pretty), not JSON lines.',
    section: 'Logging',
    applies: 'workers',
  }),
};

/** A key of the table, as programs name the setting: `gracefulTimeout`. */
export type SettingName = keyof typeof settings;

/** The rows of the table in its order, for those who treat all settings alike. */
export const rows = Object.entries(settings) as [SettingName, Setting<unknown>][];

/** Whether a setting is a switch, which needs no value: `--pretty`, `--no-pretty`. */
export function isSwitch(row: Setting<unknown>): boolean {
  return row.kind.placeholder === '';
}

/** The values of all settings. Durations are in seconds, sizes in bytes, modes as numbers. */
export type Config = {
  [Name in SettingName]: (typeof settings)[Name] extends Setting<infer T> ? T : never;
};

/** Flags that ask for something else than serving. They have no variable, and none of them serves. */
export const actions = {
  checkConfig: { flag: 'check-config', help: 'Check the settings and load the app in a worker, then exit.' },
  printConfig: { flag: 'print-config', help: 'Print every setting with its value and where it came from.' },
  version: { flag: 'version', short: 'v', help: 'Print the version of fasticorn and of Node.' },
  help: { flag: 'help', short: 'h', help: 'Print this help.' },
} as const satisfies Record<string, { flag: string; short?: string; help: string }>;

/** The name of an action: `checkConfig`. */
export type ActionName = keyof typeof actions;
