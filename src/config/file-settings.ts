/**
 * What a config file may say, as TypeScript. Written by `npm run generate` from the settings table: see `schema.ts`.
 */

/** The keys of a config file. What is absent, null or undefined has its default. */
export interface FileSettings {
  /**
   * The app, such as ./dist/app.js. An argument on the command line wins over it.
   */
  app?: string | null | undefined;
  /**
   * What the app is: a Fastify plugin, a (req, res) listener, a factory of an app, an instance, or a script
   * that listens by itself. Default: by what it exports.
   */
  appType?: 'plugin' | 'listener' | 'factory' | 'instance' | 'script' | null | undefined;
  /**
   * What a factory is called with, and a plugin gets as options: JSON of an object, or a JSON file. Default:
   * none.
   */
  appOptions?: string | object | null | undefined;
  /**
   * Further ports that the app listens on: PORT=first for the first worker only, or PORT=ADDRESS for the
   * connections of that --bind. Several: as for --bind. Default: none.
   */
  adopt?: string | readonly string[] | null | undefined;
  /**
   * Listen on unix:/path/to.sock, unix:@abstract-name, HOST:PORT or the passed descriptor fd://N. Several:
   * repeat the flag, or put commas between them.
   *
   * @default "unix:/tmp/app.sock"
   */
  bind?: string | readonly string[] | null | undefined;
  /**
   * How many connections may wait to be accepted. The kernel caps it at net.core.somaxconn.
   *
   * @default 2048
   */
  backlog?: number | string | null | undefined;
  /**
   * Mode of the Unix socket, in octal. 0660 lets only its owner and --socket-group connect.
   *
   * @default "0666"
   */
  socketMode?: string | number | null | undefined;
  /**
   * Group of the Unix socket, by name or number: usually that of nginx's workers. Default: that of --group,
   * or the arbiter's.
   */
  socketGroup?: string | number | null | undefined;
  /**
   * Let other servers of this user, which do so as well, share our TCP ports: the kernel spreads connections.
   * Takes Node 22.12.
   *
   * @default false
   */
  reusePort?: boolean | string | null | undefined;
  /**
   * How many worker processes run the app. Default: one per CPU, within cgroup quota.
   */
  workers?: number | string | null | undefined;
  /**
   * A worker that is not ready after this time counts as failed and is killed. In seconds.
   *
   * @default 30
   */
  bootTimeout?: number | string | null | undefined;
  /**
   * How long a stopping worker may take to finish its requests before it is killed. In seconds.
   *
   * @default 30
   */
  gracefulTimeout?: number | string | null | undefined;
  /**
   * A worker whose event loop has not turned for so long is stuck: it is killed, with its stack in the log. 0
   * turns this off. In seconds.
   *
   * @default 30
   */
  timeout?: number | string | null | undefined;
  /**
   * A worker that has answered so many requests is replaced by a new one. 0 turns this off.
   *
   * @default 0
   */
  maxRequests?: number | string | null | undefined;
  /**
   * At most so many requests, at random, are added to --max-requests, so that workers are not all replaced at
   * once.
   *
   * @default 0
   */
  maxRequestsJitter?: number | string | null | undefined;
  /**
   * A worker that takes more memory (resident set size, in MiB) is replaced by a new one. 0 turns this off.
   *
   * @default 0
   */
  maxMemory?: number | string | null | undefined;
  /**
   * A worker that has run for so long is replaced by a new one. 0 turns this off. In seconds.
   *
   * @default 0
   */
  maxLifetime?: number | string | null | undefined;
  /**
   * Module that each worker loads before the app, as Node's --import does: ./file.mjs or a package. Several:
   * repeat the flag, or put commas between them. Default: none.
   */
  import?: string | readonly string[] | null | undefined;
  /**
   * CommonJS module that each worker loads before the app, as Node's --require does. Several as for --import.
   * Default: none.
   */
  require?: string | readonly string[] | null | undefined;
  /**
   * Node flags of each worker, written as in NODE_OPTIONS, such as "--max-old-space-size=512
   * --enable-source-maps". Default: none, but a heap limit where memory is limited.
   */
  nodeOptions?: string | null | undefined;
  /**
   * File of variables for the workers' environment; those that are there already win, and later files over
   * earlier ones. Default: none.
   */
  envFile?: string | readonly string[] | null | undefined;
  /**
   * A request that takes longer is answered 503, or cut if its answer has begun. 0 turns this off. In
   * seconds.
   *
   * @default 0
   */
  requestTimeout?: number | string | null | undefined;
  /**
   * How long an idle keep-alive connection stays open at least. Keep it above the proxy's own idle time. In
   * seconds.
   *
   * @default 75
   */
  keepAlive?: number | string | null | undefined;
  /**
   * A request line (method, URL and version) of more bytes is answered 414. 0 leaves it at the 16 KiB that
   * Node gives line and fields together.
   *
   * @default 0
   */
  limitRequestLine?: number | string | null | undefined;
  /**
   * A request with more header fields is answered 431. 0 for any number, of which the app sees the first
   * 1,000.
   *
   * @default 0
   */
  limitRequestFields?: number | string | null | undefined;
  /**
   * A request with a header field whose name and value have more bytes is answered 431. 0 leaves it at the 16
   * KiB for line and fields together.
   *
   * @default 0
   */
  limitRequestFieldSize?: number | string | null | undefined;
  /**
   * TCP peers whose X-Forwarded-… headers are believed: addresses, networks, or * for every peer. Default:
   * none; on a Unix socket who connects.
   */
  forwardedAllowIps?: string | readonly string[] | null | undefined;
  /**
   * Every connection begins with a PROXY protocol header, version 1 or 2, that says who the client is:
   * HAProxy's send-proxy, an AWS NLB.
   *
   * @default false
   */
  proxyProtocol?: boolean | string | null | undefined;
  /**
   * TCP peers that may connect with --proxy-protocol: addresses, networks, or *. Others are turned away; who
   * connects to a Unix socket is not.
   *
   * @default ["127.0.0.1","::1"]
   */
  proxyAllowIps?: string | readonly string[] | null | undefined;
  /**
   * Certificate in PEM, with those that lead to its root: TLS on every TCP --bind. Read again at each reload.
   * Default: no TLS.
   */
  certfile?: string | null | undefined;
  /**
   * Private key of --certfile in PEM, not encrypted. Only the arbiter has to be able to read it. Default: no
   * TLS.
   */
  keyfile?: string | null | undefined;
  /**
   * Speak HTTP/2 with TLS clients that can, for apps whose server we make: plugins and (req, res) listeners.
   *
   * @default false
   */
  http2?: boolean | string | null | undefined;
  /**
   * Least level of the error log: trace, debug, info, warn, error, fatal or silent.
   *
   * @default "info"
   */
  logLevel?: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent' | null | undefined;
  /**
   * Where the access log goes: a file, - for standard output, or off.
   *
   * @default "-"
   */
  accessLogfile?: string | null | undefined;
  /**
   * Where the error log and the app.log of the app go: a file, or - for standard error.
   *
   * @default "-"
   */
  errorLogfile?: string | null | undefined;
  /**
   * Logs for people (pino-pretty), not JSON lines. Default: each log that goes to a terminal.
   */
  pretty?: boolean | string | null | undefined;
  /**
   * Directory that the app runs in and that relative paths start from. A symbolic link is followed anew at
   * each reload. Default: the working directory.
   */
  chdir?: string | null | undefined;
  /**
   * Name of the server in the list of processes: fasticorn: arbiter [NAME]. Default: the app.
   */
  procName?: string | null | undefined;
  /**
   * File that holds the process id of the arbiter while it runs. Default: none.
   */
  pid?: string | null | undefined;
  /**
   * User that the workers run as, by name or number, with all its groups. The arbiter stays root, and gives
   * them the Unix socket and new log files. Default: the arbiter's user.
   */
  user?: string | number | null | undefined;
  /**
   * Group that the workers run as, by name or number. Default: that of --user, or the arbiter's.
   */
  group?: string | number | null | undefined;
  /**
   * Permissions that new files of the arbiter, the workers and the app do not get, in octal: logs among them.
   * The Unix socket's are --socket-mode. Default: as inherited.
   */
  umask?: string | number | null | undefined;
  /**
   * Unix socket that the commands for a running server use, or off. Without the path of a Unix socket to bind
   * it is /tmp/fasticorn-<pid>.ctl. Default: <first Unix socket>.ctl.
   */
  controlSocket?: string | null | undefined;
  /**
   * Take the Unix socket over from the fasticorn that has it, once our workers are ready; that one drains and
   * ends.
   *
   * @default false
   */
  takeover?: boolean | string | null | undefined;
  /**
   * Node binary that `upgrade` starts the new arbiter with. Default: the one that runs now.
   */
  node?: string | null | undefined;
  /**
   * With --watch: also watch this file, or all that is in this directory, such as templates. Several: repeat
   * the flag. Default: none.
   */
  watchExtra?: string | readonly string[] | null | undefined;
}
