/**
 * THE settings table: each setting is declared here, once, and nowhere else. Its type is `Config`; the command
 * line, the environment, the config file, `--help`, `--print-config` and the README's reference are all made from it.
 * Knows nothing about where values come from (`load.ts`) or how they are shown (`render.ts`).
 */
import type { Address } from '../address.ts';
import { type VerbName, verbNames, verbs } from '../commands.ts';
import type { AppType, PortAdoption } from '../protocol.ts';
import {
  address,
  choice,
  errorLog,
  group,
  inspectorAddress,
  integer,
  json,
  type Kind,
  list,
  moduleName,
  network,
  nodeFlags,
  octalMode,
  onOff,
  pidFile,
  portAdoption,
  seconds,
  secondsFrom,
  socketPath,
  type TcpAddress,
  text,
  umask,
  user,
} from './kinds.ts';

/** What a default may depend on: found out once by the command line, so that this table stays pure. */
export interface Machine {
  /** CPUs that this process may use, after affinity and cgroup quota; at least 1. */
  cpus: number;
  /** Bytes that the cgroups allow this process and its workers together; undefined without a limit. */
  memory?: number | undefined;
}

/**
 * When a value that was changed in the config file takes effect: with a reload at once (`live`), with a reload in the
 * workers of the new generation (`workers`), or only when the server is started again (`restart`).
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
  /** Set where the config file must not have the setting; the key there is the row's own in the table. */
  inFile?: false;
  default: T | ((machine: Machine) => T);
  /** Says what a computed default is, where the value alone would mislead. */
  defaultText?: string;
  /** One of the dozen that one needs first: `--help` shows them. */
  common?: true;
  /** The default while one of these is on. */
  defaultWith?: { [Name in 'watch' | 'inspect']?: T };
  /** One or two sentences, without the default. */
  help: string;
  section: 'App' | 'Socket' | 'Workers' | 'Requests' | 'Logging' | 'Server' | 'Development';
  applies: Applies;
}

const setting = <T>(row: Setting<T>): Setting<T> => row;

export const settings = {
  appType: setting<AppType | undefined>({
    kind: choice('TYPE', 'plugin', 'listener', 'factory', 'instance', 'script'),
    flag: 'app-type',
    env: 'FASTICORN_APP_TYPE',
    default: undefined,
    defaultText: 'by what it exports',
    common: true,
    help: 'What the app is: a Fastify plugin, a (req, res) listener, a factory of an app, an instance, or a script that listens by itself.',
    section: 'App',
    applies: 'workers',
  }),
  appOptions: setting<string | undefined>({
    kind: json,
    flag: 'app-options',
    env: 'FASTICORN_APP_OPTIONS',
    default: undefined,
    defaultText: 'none',
    help: 'What a factory is called with, and a plugin gets as options: JSON of an object, or a JSON file.',
    section: 'App',
    applies: 'workers',
  }),
  adopt: setting<PortAdoption[]>({
    kind: list(portAdoption, true),
    flag: 'adopt',
    env: 'FASTICORN_ADOPT',
    default: [],
    defaultText: 'none',
    help: 'Further ports that the app listens on: PORT=first for the first worker only, or PORT=ADDRESS for the connections of that --bind. Several: as for --bind.',
    section: 'App',
    applies: 'workers',
  }),
  bind: setting<Address[]>({
    kind: list(address),
    flag: 'bind',
    short: 'b',
    env: 'FASTICORN_BIND',
    default: [{ kind: 'unix', path: '/tmp/app.sock' }],
    common: true,
    help: 'Listen on unix:/path/to.sock, unix:@abstract-name, HOST:PORT or the passed descriptor fd://N. Several: repeat the flag, or put commas between them.',
    section: 'Socket',
    applies: 'workers',
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
    common: true,
    help: 'Mode of the Unix socket, in octal. 0660 lets only its owner and --socket-group connect.',
    section: 'Socket',
    applies: 'restart',
  }),
  socketGroup: setting<string | undefined>({
    kind: group,
    flag: 'socket-group',
    env: 'FASTICORN_SOCKET_GROUP',
    default: undefined,
    defaultText: "that of --group, or the arbiter's",
    help: "Group of the Unix socket, by name or number: usually that of nginx's workers.",
    section: 'Socket',
    applies: 'restart',
  }),
  reusePort: setting({
    kind: onOff,
    flag: 'reuse-port',
    env: 'FASTICORN_REUSE_PORT',
    default: false,
    help: 'Let other servers of this user, which do so as well, share our TCP ports: the kernel spreads connections. Takes Node 22.12.',
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
    common: true,
    defaultWith: { watch: 1 },
    help: 'How many worker processes run the app.',
    section: 'Workers',
    applies: 'live',
  }),
  bootTimeout: setting({
    kind: seconds,
    flag: 'boot-timeout',
    env: 'FASTICORN_BOOT_TIMEOUT',
    default: 30,
    defaultWith: { inspect: 86_400 },
    help: 'A worker that is not ready after this time counts as failed and is killed.',
    section: 'Workers',
    applies: 'workers',
  }),
  gracefulTimeout: setting({
    kind: seconds,
    flag: 'graceful-timeout',
    env: 'FASTICORN_GRACEFUL_TIMEOUT',
    default: 30,
    common: true,
    defaultWith: { watch: 3 },
    help: 'How long a stopping worker may take to finish its requests before it is killed.',
    section: 'Workers',
    applies: 'workers',
  }),
  timeout: setting({
    kind: secondsFrom(1, '0 (off) or '),
    flag: 'timeout',
    short: 't',
    env: 'FASTICORN_TIMEOUT',
    default: 30,
    common: true,
    defaultWith: { inspect: 0 },
    help: 'A worker whose event loop has not turned for so long is stuck: it is killed, with its stack in the log. 0 turns this off.',
    section: 'Workers',
    applies: 'workers',
  }),
  maxRequests: setting({
    kind: integer('N', 0, 1_000_000_000),
    flag: 'max-requests',
    env: 'FASTICORN_MAX_REQUESTS',
    default: 0,
    help: 'A worker that has answered so many requests is replaced by a new one. 0 turns this off.',
    section: 'Workers',
    applies: 'workers',
  }),
  maxRequestsJitter: setting({
    kind: integer('N', 0, 1_000_000_000),
    flag: 'max-requests-jitter',
    env: 'FASTICORN_MAX_REQUESTS_JITTER',
    default: 0,
    help: 'At most so many requests, at random, are added to --max-requests, so that workers are not all replaced at once.',
    section: 'Workers',
    applies: 'workers',
  }),
  maxMemory: setting({
    kind: integer('MIB', 0, 1_048_576),
    flag: 'max-memory',
    env: 'FASTICORN_MAX_MEMORY',
    default: 0,
    help: 'A worker that takes more memory (resident set size, in MiB) is replaced by a new one. 0 turns this off.',
    section: 'Workers',
    applies: 'workers',
  }),
  maxLifetime: setting({
    kind: secondsFrom(1, '0 (off) or '),
    flag: 'max-lifetime',
    env: 'FASTICORN_MAX_LIFETIME',
    default: 0,
    help: 'A worker that has run for so long is replaced by a new one. 0 turns this off.',
    section: 'Workers',
    applies: 'workers',
  }),
  import: setting<string[] | undefined>({
    kind: list(moduleName),
    flag: 'import',
    env: 'FASTICORN_IMPORT',
    default: undefined,
    defaultText: 'none',
    help: "Module that each worker loads before the app, as Node's --import does: ./file.mjs or a package. Several: repeat the flag, or put commas between them.",
    section: 'Workers',
    applies: 'workers',
  }),
  require: setting<string[] | undefined>({
    kind: list(moduleName),
    flag: 'require',
    env: 'FASTICORN_REQUIRE',
    default: undefined,
    defaultText: 'none',
    help: "CommonJS module that each worker loads before the app, as Node's --require does. Several as for --import.",
    section: 'Workers',
    applies: 'workers',
  }),
  nodeOptions: setting<string | undefined>({
    kind: nodeFlags,
    flag: 'node-options',
    env: 'FASTICORN_NODE_OPTIONS',
    default: undefined,
    defaultText: 'none, but a heap limit where memory is limited',
    help: 'Node flags of each worker, written as in NODE_OPTIONS, such as "--max-old-space-size=512 --enable-source-maps".',
    section: 'Workers',
    applies: 'workers',
  }),
  envFile: setting<string[] | undefined>({
    kind: list(text('FILE')),
    flag: 'env-file',
    env: 'FASTICORN_ENV_FILE',
    default: undefined,
    defaultText: 'none',
    help: "File of variables for the workers' environment; those that are there already win, and later files over earlier ones.",
    section: 'Workers',
    applies: 'workers',
  }),
  requestTimeout: setting({
    kind: secondsFrom(0.001, '0 (off) or '),
    flag: 'request-timeout',
    env: 'FASTICORN_REQUEST_TIMEOUT',
    default: 0,
    common: true,
    help: 'A request that takes longer is answered 503, or cut if its answer has begun. 0 turns this off.',
    section: 'Requests',
    applies: 'workers',
  }),
  keepAlive: setting({
    kind: seconds,
    flag: 'keep-alive',
    env: 'FASTICORN_KEEP_ALIVE',
    default: 75,
    help: "How long an idle keep-alive connection stays open at least. Keep it above the proxy's own idle time.",
    section: 'Requests',
    applies: 'workers',
  }),
  limitRequestLine: setting({
    kind: integer('N', 0, 1_048_576),
    flag: 'limit-request-line',
    env: 'FASTICORN_LIMIT_REQUEST_LINE',
    default: 0,
    help: 'A request line (method, URL and version) of more bytes is answered 414. 0 leaves it at the 16 KiB that Node gives line and fields together.',
    section: 'Requests',
    applies: 'workers',
  }),
  limitRequestFields: setting({
    kind: integer('N', 0, 32_768),
    flag: 'limit-request-fields',
    env: 'FASTICORN_LIMIT_REQUEST_FIELDS',
    default: 0,
    help: 'A request with more header fields is answered 431. 0 for any number, of which the app sees the first 1,000.',
    section: 'Requests',
    applies: 'workers',
  }),
  limitRequestFieldSize: setting({
    kind: integer('N', 0, 1_048_576),
    flag: 'limit-request-field-size',
    env: 'FASTICORN_LIMIT_REQUEST_FIELD_SIZE',
    default: 0,
    help: 'A request with a header field whose name and value have more bytes is answered 431. 0 leaves it at the 16 KiB for line and fields together.',
    section: 'Requests',
    applies: 'workers',
  }),
  forwardedAllowIps: setting<string[] | undefined>({
    kind: list(network),
    flag: 'forwarded-allow-ips',
    env: 'FORWARDED_ALLOW_IPS',
    default: undefined,
    defaultText: 'none; on a Unix socket who connects',
    help: 'TCP peers whose X-Forwarded-… headers are believed: addresses, networks, or * for every peer.',
    section: 'Requests',
    applies: 'workers',
  }),
  proxyProtocol: setting({
    kind: onOff,
    flag: 'proxy-protocol',
    env: 'FASTICORN_PROXY_PROTOCOL',
    default: false,
    help: "Every connection begins with a PROXY protocol header, version 1 or 2, that says who the client is: HAProxy's send-proxy, an AWS NLB.",
    section: 'Requests',
    applies: 'workers',
  }),
  proxyAllowIps: setting({
    kind: list(network),
    flag: 'proxy-allow-ips',
    env: 'FASTICORN_PROXY_ALLOW_IPS',
    default: ['127.0.0.1', '::1'],
    help: 'TCP peers that may connect with --proxy-protocol: addresses, networks, or *. Others are turned away; who connects to a Unix socket is not.',
    section: 'Requests',
    applies: 'workers',
  }),
  certfile: setting<string | undefined>({
    kind: text('FILE'),
    flag: 'certfile',
    env: 'FASTICORN_CERTFILE',
    default: undefined,
    defaultText: 'no TLS',
    help: 'Certificate in PEM, with those that lead to its root: TLS on every TCP --bind. Read again at each reload.',
    section: 'Requests',
    applies: 'workers',
  }),
  keyfile: setting<string | undefined>({
    kind: text('FILE'),
    flag: 'keyfile',
    env: 'FASTICORN_KEYFILE',
    default: undefined,
    defaultText: 'no TLS',
    help: 'Private key of --certfile in PEM, not encrypted. Only the arbiter has to be able to read it.',
    section: 'Requests',
    applies: 'workers',
  }),
  http2: setting({
    kind: onOff,
    flag: 'http2',
    env: 'FASTICORN_HTTP2',
    default: false,
    help: 'Speak HTTP/2 with TLS clients that can, for apps whose server we make: plugins and (req, res) listeners.',
    section: 'Requests',
    applies: 'workers',
  }),
  logLevel: setting({
    kind: choice('LEVEL', 'trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    flag: 'log-level',
    env: 'FASTICORN_LOG_LEVEL',
    default: 'info',
    common: true,
    help: 'Least level of the error log: trace, debug, info, warn, error, fatal or silent.',
    section: 'Logging',
    applies: 'workers',
  }),
  accessLogfile: setting({
    kind: text('FILE'),
    flag: 'access-logfile',
    env: 'FASTICORN_ACCESS_LOGFILE',
    default: '-',
    common: true,
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
    defaultWith: { watch: true },
    help: 'Logs for people (pino-pretty), not JSON lines.',
    section: 'Logging',
    applies: 'workers',
  }),
  config: setting<string | undefined>({
    kind: text('FILE'),
    flag: 'config',
    short: 'c',
    env: 'FASTICORN_CONFIG',
    inFile: false,
    default: undefined,
    defaultText: 'fasticorn.config.ts, .mts, .js, .mjs, .cjs or .json, if there',
    common: true,
    help: 'Config file: settings by their keys, such as gracefulTimeout, and app for the app.',
    section: 'Server',
    applies: 'live',
  }),
  chdir: setting<string | undefined>({
    kind: text('DIR'),
    flag: 'chdir',
    env: 'FASTICORN_CHDIR',
    default: undefined,
    defaultText: 'the working directory',
    common: true,
    help: 'Directory that the app runs in and that relative paths start from. A symbolic link is followed anew at each reload.',
    section: 'Server',
    applies: 'workers',
  }),
  procName: setting<string | undefined>({
    kind: text('NAME'),
    flag: 'proc-name',
    env: 'FASTICORN_PROC_NAME',
    default: undefined,
    defaultText: 'the app',
    help: 'Name of the server in the list of processes: fasticorn: arbiter [NAME].',
    section: 'Server',
    applies: 'workers',
  }),
  pid: setting<string | undefined>({
    kind: pidFile,
    flag: 'pid',
    short: 'p',
    env: 'FASTICORN_PID',
    default: undefined,
    defaultText: 'none',
    common: true,
    help: 'File that holds the process id of the arbiter while it runs.',
    section: 'Server',
    applies: 'restart',
  }),
  user: setting<string | undefined>({
    kind: user,
    flag: 'user',
    short: 'u',
    env: 'FASTICORN_USER',
    default: undefined,
    defaultText: "the arbiter's user",
    help: 'User that the workers run as, by name or number, with all its groups. The arbiter stays root, and gives them the Unix socket and new log files.',
    section: 'Server',
    applies: 'restart',
  }),
  group: setting<string | undefined>({
    kind: group,
    flag: 'group',
    short: 'g',
    env: 'FASTICORN_GROUP',
    default: undefined,
    defaultText: "that of --user, or the arbiter's",
    help: 'Group that the workers run as, by name or number.',
    section: 'Server',
    applies: 'restart',
  }),
  umask: setting<number | undefined>({
    kind: umask,
    flag: 'umask',
    short: 'm',
    env: 'FASTICORN_UMASK',
    default: undefined,
    defaultText: 'as inherited',
    help: "Permissions that new files of the arbiter, the workers and the app do not get, in octal: logs among them. The Unix socket's are --socket-mode.",
    section: 'Server',
    applies: 'restart',
  }),
  controlSocket: setting<string | undefined>({
    kind: socketPath,
    flag: 'control-socket',
    env: 'FASTICORN_CONTROL_SOCKET',
    default: undefined,
    defaultText: '<first Unix socket>.ctl',
    help: 'Unix socket that the commands for a running server use, or off. Without the path of a Unix socket to bind it is /tmp/fasticorn-<pid>.ctl.',
    section: 'Server',
    applies: 'restart',
  }),
  takeover: setting({
    kind: onOff,
    flag: 'takeover',
    env: 'FASTICORN_TAKEOVER',
    default: false,
    help: 'Take the Unix socket over from the fasticorn that has it, once our workers are ready; that one drains and ends.',
    section: 'Server',
    applies: 'restart',
  }),
  node: setting<string | undefined>({
    kind: text('PATH'),
    flag: 'node',
    env: 'FASTICORN_NODE',
    default: undefined,
    defaultText: 'the one that runs now',
    help: 'Node binary that `upgrade` starts the new arbiter with.',
    section: 'Server',
    applies: 'live',
  }),
  watch: setting({
    kind: onOff,
    flag: 'watch',
    env: 'FASTICORN_WATCH',
    common: true,
    inFile: false,
    default: false,
    help: 'Reload when code that the app has loaded changes; an app that fails is waited for. `fasticorn dev` sets this.',
    section: 'Development',
    applies: 'restart',
  }),
  watchExtra: setting<string[] | undefined>({
    kind: list(text('PATH')),
    flag: 'watch-extra',
    env: 'FASTICORN_WATCH_EXTRA',
    default: undefined,
    defaultText: 'none',
    help: 'With --watch: also watch this file, or all that is in this directory, such as templates. Several: repeat the flag.',
    section: 'Development',
    applies: 'restart',
  }),
  inspect: setting<TcpAddress | undefined>({
    kind: inspectorAddress,
    flag: 'inspect',
    env: 'FASTICORN_INSPECT',
    inFile: false,
    default: undefined,
    defaultText: 'off',
    help: 'Let a debugger attach to the worker, on 127.0.0.1:9229 unless said otherwise; to worker 2 on the next port, and so on.',
    section: 'Development',
    applies: 'restart',
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

/** The values of all settings. Durations are in seconds, memory is in MiB, modes are numbers. */
export type Config = {
  [Name in SettingName]: (typeof settings)[Name] extends Setting<infer T> ? T : never;
};

/** One row of the flags below. */
export interface Action {
  flag: string;
  short?: string;
  /** The one word that may follow it. */
  argument?: string;
  help: string;
}

/** Flags that ask for something else than serving. They have no variable, and none of them serves. */
export const actions = {
  checkConfig: { flag: 'check-config', help: 'Check the settings and load the app in a worker, then exit.' },
  printConfig: { flag: 'print-config', help: 'Print every setting with its value and where it came from.' },
  version: { flag: 'version', short: 'v', help: 'Print the version of fasticorn and of Node.' },
  help: {
    flag: 'help',
    short: 'h',
    argument: 'all',
    help: 'Print the options that one needs first, or all of them.',
  },
} as const satisfies Record<string, Action>;

/** The name of an action: `checkConfig`. */
export type ActionName = keyof typeof actions;

/** The command that only asks a running server; all others are the verbs of `commands.ts`. */
export const status = {
  name: 'status',
  help: 'Show how the server is: workers, sockets, last exits.',
} as const;

/** What can be asked of a running server, by name: `reload`, `status`. */
export type CommandName = VerbName | typeof status.name;

/** One row of the last table. */
interface CommandFlag {
  flag: string;
  /** The commands that take it; with all others it is a mistake. */
  of: readonly CommandName[];
  help: string;
}

const commandFlag = (row: CommandFlag): CommandFlag => row;

/** Flags of single commands for a running server, which take those of the settings as well, to find the server. */
export const verbFlags = {
  noWait: commandFlag({
    flag: 'no-wait',
    of: verbNames.filter((name) => verbs[name].waits),
    help: 'Return as soon as it has begun, not when it is done.',
  }),
  json: commandFlag({ flag: 'json', of: [status.name], help: 'Print all there is to know, as JSON.' }),
  now: commandFlag({ flag: 'now', of: ['stop'], help: 'The same as stop now.' }),
};

/** The name of such a flag: `noWait`. */
export type VerbFlagName = keyof typeof verbFlags;
