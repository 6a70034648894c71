/**
 * Gunicorn's settings, all of them (as of 26.1), and what each is here: one of ours, or nothing, and why. The hints
 * for unknown flags and keys and the README's section for those who come from Gunicorn are made from it. Pure; its
 * names are facts from Gunicorn's `config.py`.
 */
import type { HookName } from '../events.ts';
import type { ActionName, SettingName } from './settings.ts';

/** One setting of Gunicorn: it has a counterpart here, or a reason for having none. */
export type GunicornSetting = {
  /** Its flags, where they are not its name with dashes. */
  flags?: readonly string[];
} & (
  | {
      /** The setting, action or hook here that does it; `app` is the argument. */
      ours: SettingName | ActionName | HookName | 'app';
      /** A value that shows how it is written here, where that is not plain. */
      example?: string;
      /** In what it differs, for the README. */
      note?: string;
      why?: never;
    }
  | { why: string; ours?: never; example?: never }
);

const asynchronous = 'every worker is asynchronous';
const syslog = 'logs go to files or standard streams, from where systemd or Docker takes them to syslog';
const loggers = "the server's logs are JSON lines with fixed fields; the app's logger is the app's own";
const metrics = 'numbers are on the control socket: `fasticorn status --json`';
const python = 'it is about Python';
const requestHooks = "the app's own hooks do it: `onRequest`, `onResponse`";
const workerCode =
  "code for each worker belongs in the app: at its top, or in Fastify's `onReady` and `onClose`";
const tls = "TLS is Node's defaults, without client certificates; for more put nginx in front";
const http2 = "HTTP/2 is Node's defaults, and only on TLS";
const parser = "Node's parser reads requests, strictly";
const dirty = 'long work belongs in a queue, or in threads of the app';

/** By the name in Gunicorn's config file, in the order of its documentation. */
export const gunicornSettings: Readonly<Record<string, GunicornSetting>> = {
  config: { flags: ['-c', '--config'], ours: 'config', note: 'TypeScript, JavaScript or JSON' },
  wsgi_app: { ours: 'app', note: '`./app.mjs`, or `./app.mjs:name` for an export' },
  bind: { flags: ['-b', '--bind'], ours: 'bind', note: 'default `unix:/tmp/app.sock`' },
  backlog: { ours: 'backlog' },
  workers: {
    flags: ['-w', '--workers'],
    ours: 'workers',
    note: 'default: the CPUs that a cgroup quota leaves; `WEB_CONCURRENCY` as well',
  },
  worker_class: { flags: ['-k', '--worker-class'], why: asynchronous },
  threads: { why: asynchronous },
  worker_connections: { why: asynchronous },
  max_requests: { ours: 'maxRequests' },
  max_requests_jitter: { ours: 'maxRequestsJitter' },
  timeout: {
    flags: ['-t', '--timeout'],
    ours: 'timeout',
    note: 'without a turn of the event loop; a slow request is no reason: `--request-timeout`',
  },
  graceful_timeout: { ours: 'gracefulTimeout' },
  keepalive: {
    flags: ['--keep-alive'],
    ours: 'keepAlive',
    note: "75 s: more than the idle time of nginx's pool, so that nginx closes first",
  },
  asgi_loop: { why: python },
  asgi_lifespan: { why: python },
  asgi_disconnect_grace_period: { why: python },
  limit_request_line: {
    ours: 'limitRequestLine',
    note: 'off by default: Node gives line and fields 16 KiB together',
  },
  limit_request_fields: { ours: 'limitRequestFields', note: 'off by default' },
  limit_request_field_size: { ours: 'limitRequestFieldSize', note: 'off by default' },
  reload: { ours: 'watch', note: 'or `fasticorn dev`' },
  reload_engine: { why: 'Node watches files in one way' },
  reload_extra_files: { flags: ['--reload-extra-file'], ours: 'watchExtra' },
  spew: { why: "Node's inspector shows what runs" },
  check_config: { ours: 'checkConfig' },
  print_config: { ours: 'printConfig' },
  preload_app: {
    flags: ['--preload'],
    why: 'every worker loads the app by itself, so that a reload always has fresh code; Node cannot fork',
  },
  sendfile: { flags: ['--no-sendfile'], why: 'Node has no sendfile(2) for HTTP; nginx has' },
  reuse_port: { ours: 'reusePort' },
  chdir: { ours: 'chdir' },
  daemon: {
    flags: ['-D', '--daemon'],
    why: 'systemd, a container or `setsid` puts a server in the background better, and does not lose its log',
  },
  raw_env: { flags: ['-e', '--env'], ours: 'envFile', note: 'a file of them' },
  pidfile: { flags: ['-p', '--pid'], ours: 'pid' },
  worker_tmp_dir: { why: 'workers tell the arbiter over a pipe that they are alive, not by a file' },
  user: { flags: ['-u', '--user'], ours: 'user' },
  group: { flags: ['-g', '--group'], ours: 'group' },
  umask: {
    flags: ['-m', '--umask'],
    ours: 'umask',
    note: 'the socket has a mode of its own: `--socket-mode`',
  },
  initgroups: { why: 'workers always get the supplementary groups of `--user`' },
  tmp_upload_dir: { why: 'the server keeps no uploads; the app decides where they go' },
  secure_scheme_headers: { why: '`X-Forwarded-Proto` from a trusted proxy decides' },
  forwarded_allow_ips: { ours: 'forwardedAllowIps', note: 'default: nobody on TCP' },
  pythonpath: { why: python },
  paste: { flags: ['--paste', '--paster'], why: python },
  raw_paste_global_conf: { flags: ['--paste-global'], why: python },
  proxy_protocol: {
    ours: 'proxyProtocol',
    note: 'a switch for both versions; connections without a header are closed',
  },
  proxy_allow_ips: { flags: ['--proxy-allow-from'], ours: 'proxyAllowIps' },
  protocol: { why: 'there is only HTTP' },
  uwsgi_allow_ips: { flags: ['--uwsgi-allow-from'], why: 'there is only HTTP' },
  root_path: { why: "a prefix is the app's, or nginx's" },
  accesslog: {
    flags: ['--access-logfile'],
    ours: 'accessLogfile',
    note: 'it is on, to standard output; `off` turns it off',
  },
  access_log_format: { flags: ['--access-logformat'], why: loggers },
  errorlog: { flags: ['--error-logfile', '--log-file'], ours: 'errorLogfile' },
  loglevel: {
    flags: ['--log-level'],
    ours: 'logLevel',
    note: '`warn` for `warning`, `fatal` for `critical`; also `trace` and `silent`',
  },
  capture_output: { why: 'what an app prints stays on its standard streams; `app.log` is in the error log' },
  logger_class: { why: loggers },
  logconfig: { flags: ['--log-config'], why: loggers },
  logconfig_dict: { why: loggers },
  logconfig_json: { flags: ['--log-config-json'], why: loggers },
  syslog_addr: { flags: ['--log-syslog-to'], why: syslog },
  syslog: { flags: ['--log-syslog'], why: syslog },
  syslog_prefix: { flags: ['--log-syslog-prefix'], why: syslog },
  syslog_facility: { flags: ['--log-syslog-facility'], why: syslog },
  disable_redirect_access_to_syslog: { why: syslog },
  enable_stdio_inheritance: {
    flags: ['-R', '--enable-stdio-inheritance'],
    why: 'standard streams are always inherited',
  },
  statsd_host: { why: metrics },
  statsd_prefix: { why: metrics },
  dogstatsd_tags: { why: metrics },
  enable_backlog_metric: { why: metrics },
  proc_name: { flags: ['-n', '--name'], ours: 'procName' },
  default_proc_name: { why: 'it is internal to Gunicorn' },
  keyfile: { ours: 'keyfile', note: 'read again at each reload' },
  certfile: { ours: 'certfile', note: 'read again at each reload' },
  ssl_context: { why: tls },
  ssl_version: { why: tls },
  cert_reqs: { why: tls },
  ca_certs: { why: tls },
  ciphers: { why: tls },
  suppress_ragged_eofs: { why: tls },
  do_handshake_on_connect: { why: tls },
  http_protocols: { ours: 'http2', note: 'a switch' },
  http2_cleartext: { why: http2 },
  http2_max_concurrent_streams: { why: http2 },
  http2_initial_window_size: { why: http2 },
  http2_max_frame_size: { why: http2 },
  http2_max_header_list_size: { why: http2 },
  http_parser: { why: parser },
  permit_obsolete_folding: { why: parser },
  strip_header_spaces: { why: parser },
  permit_unconventional_http_method: { why: parser },
  permit_unconventional_http_version: { why: parser },
  casefold_http_method: { why: parser },
  forwarder_headers: { why: parser },
  header_map: { why: parser },
  control_socket: { ours: 'controlSocket', note: '`<first Unix socket>.ctl`' },
  control_socket_mode: { why: 'only the user who runs the server may use the control socket' },
  control_socket_disable: {
    flags: ['--no-control-socket'],
    ours: 'controlSocket',
    example: 'off',
    note: '`--control-socket off`',
  },
  on_starting: { ours: 'onStarting' },
  on_reload: { ours: 'onReload', note: 'told when the new workers serve, or cannot' },
  when_ready: { ours: 'whenReady' },
  pre_fork: { why: workerCode },
  post_fork: { why: workerCode },
  post_worker_init: { ours: 'workerReady', note: 'runs outside of the workers' },
  worker_int: { why: workerCode },
  worker_abort: { ours: 'workerStuck', note: 'runs outside of the workers' },
  pre_exec: { why: 'an upgrade starts a new arbiter, with `onStarting`' },
  pre_request: { why: requestHooks },
  post_request: { why: requestHooks },
  child_exit: { ours: 'workerExit' },
  worker_exit: { ours: 'workerExit', note: 'runs outside of the workers' },
  nworkers_changed: { why: '`workerReady` and `workerExit` say so' },
  on_exit: { ours: 'onExit' },
  dirty_apps: { flags: ['--dirty-app'], why: dirty },
  dirty_workers: { why: dirty },
  dirty_timeout: { why: dirty },
  dirty_threads: { why: dirty },
  dirty_graceful_timeout: { why: dirty },
  on_dirty_starting: { why: dirty },
  dirty_post_fork: { why: dirty },
  dirty_worker_init: { why: dirty },
  dirty_worker_exit: { why: dirty },
};

/** What Gunicorn has under a name: a flag as typed, or a key in any spelling. */
export function gunicornSetting(word: string): GunicornSetting | undefined {
  const isShort = /^-[^-]/.test(word);
  const found = Object.entries(gunicornSettings).find(([name, { flags = [] }]) =>
    isShort
      ? flags.includes(word)
      : [name, ...flags.filter((flag) => flag.startsWith('--'))].some(
          (one) => letters(one) === letters(word),
        ),
  );
  return found?.[1];
}

function letters(word: string): string {
  return word.toLowerCase().replace(/[-_]/g, '');
}
