import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { verbNames } from '../src/commands.ts';
import { namedConfigFile } from '../src/config/command-line.ts';
import { type ConfigFile, load } from '../src/config/load.ts';
import { type Config, type Machine, rows } from '../src/config/settings.ts';
import { UserError } from '../src/errors.ts';

const machine: Machine = { cpus: 8 };
const config = (...argv: string[]): Config => load(argv, {}, machine).config;

/** A file with these values, each in a line of its own after the first. */
const file = (values: Record<string, unknown>): ConfigFile => ({
  path: 'fasticorn.config.mjs',
  values,
  lineOf: (key) => Object.keys(values).indexOf(key) + 2 || undefined,
});
const inFile = (values: Record<string, unknown>): Config => load([], {}, machine, file(values)).config;

/** The message of the UserError that the input makes. */
function mistake(argv: string[], env: Record<string, string> = {}, values?: Record<string, unknown>): string {
  try {
    load(argv, env, machine, values && file(values));
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return error.message;
  }
  assert.fail(`no mistake found in ${JSON.stringify({ argv, env })}`);
}

describe('a value', () => {
  it('is the default if nothing is said', () => {
    assert.deepEqual(load([], {}, machine), {
      args: [],
      config: {
        appType: undefined,
        appOptions: undefined,
        adopt: [],
        bind: [{ kind: 'unix', path: '/tmp/app.sock' }],
        backlog: 2048,
        socketMode: 0o666,
        socketGroup: undefined,
        reusePort: false,
        workers: 8,
        bootTimeout: 30,
        gracefulTimeout: 30,
        timeout: 30,
        maxRequests: 0,
        maxRequestsJitter: 0,
        maxMemory: 0,
        maxLifetime: 0,
        import: undefined,
        require: undefined,
        nodeOptions: undefined,
        envFile: undefined,
        requestTimeout: 0,
        keepAlive: 75,
        limitRequestLine: 0,
        limitRequestFields: 0,
        limitRequestFieldSize: 0,
        forwardedAllowIps: undefined,
        proxyProtocol: false,
        proxyAllowIps: ['127.0.0.1', '::1'],
        certfile: undefined,
        keyfile: undefined,
        http2: false,
        logLevel: 'info',
        accessLogfile: '-',
        errorLogfile: '-',
        pretty: undefined,
        config: undefined,
        chdir: undefined,
        procName: undefined,
        pid: undefined,
        user: undefined,
        group: undefined,
        umask: undefined,
        controlSocket: undefined,
        takeover: false,
        node: undefined,
        watch: false,
        watchExtra: undefined,
        inspect: undefined,
      },
      origins: Object.fromEntries(rows.map(([name]) => [name, { from: 'default' }])),
    });

    it('that is a network is an IP address, with or without a length that its family has, or *', () => {
      const networks = (text: string) =>
        load(['--forwarded-allow-ips', text], {}, machine).config.forwardedAllowIps;
      assert.deepEqual(networks('10.0.0.0/8, ::1,2001:DB8::/32,*'), [
        '10.0.0.0/8',
        '::1',
        '2001:db8::/32',
        '*',
      ]);
      for (const wrong of [
        '',
        '10.0.0',
        '10.0.0.0/33',
        '256.0.0.1',
        '::/129',
        ':::',
        '1::2::3',
        'host',
        '::1/',
        '/8',
        '1.2.3.4:80',
      ]) {
        assert.match(
          mistake(['--forwarded-allow-ips', wrong]),
          /--forwarded-allow-ips: ".*" is not valid: expected an IP address, a network such as 10\.0\.0\.0\/8, or \*/,
          wrong,
        );
      }
    });
  });

  it('has a default that may depend on the machine', () => {
    assert.equal(load([], {}, { cpus: 3 }).config.workers, 3);
  });

  it('comes from the environment rather than the default', () => {
    const { config, origins } = load([], { WEB_CONCURRENCY: '3' }, machine);
    assert.equal(config.workers, 3);
    assert.deepEqual(origins.workers, { from: 'env', name: 'WEB_CONCURRENCY' });
  });

  it('comes from a flag rather than the environment, even if the variable is wrong', () => {
    for (const variable of ['3', 'abc']) {
      const { config, origins } = load(['--workers', '4'], { WEB_CONCURRENCY: variable }, machine);
      assert.equal(config.workers, 4);
      assert.deepEqual(origins.workers, { from: 'flag', name: '--workers' });
    }
  });

  it('remembers its flag as it was typed', () => {
    assert.deepEqual(load(['-w4'], {}, machine).origins.workers, { from: 'flag', name: '-w' });
    assert.deepEqual(load(['--no-pretty'], {}, machine).origins.pretty, {
      from: 'flag',
      name: '--no-pretty',
    });
  });

  it('is not given by an empty variable', () => {
    const { config, origins } = load([], { WEB_CONCURRENCY: '' }, machine);
    assert.equal(config.workers, 8);
    assert.deepEqual(origins.workers, { from: 'default' });
  });

  it('may be written in four ways', () => {
    for (const argv of [['-w4'], ['-w', '4'], ['--workers=4'], ['--workers', '4']]) {
      assert.equal(config(...argv).workers, 4, argv.join(' '));
    }
  });

  it('is the last one if a flag is repeated', () => {
    assert.equal(config('-w', '2', '--workers=4').workers, 4);
    assert.equal(config('--pretty', '--no-pretty').pretty, false);
  });

  it('may be a single dash, or begin with one after an equals sign', () => {
    assert.equal(config('--access-logfile', '-').accessLogfile, '-');
    assert.equal(config('--access-logfile=-x').accessLogfile, '-x');
  });

  it('is read by the kind of its setting', () => {
    assert.deepEqual(config('--bind', '[::1]:80').bind, [{ kind: 'tcp', host: '::1', port: 80 }]);
    for (const mode of ['660', '0660', '0o660'])
      assert.equal(config('--socket-mode', mode).socketMode, 0o660);
    assert.equal(config('--keep-alive', '1.5').keepAlive, 1.5);
    assert.equal(config('--log-level', 'warn').logLevel, 'warn');
    assert.equal(config('--socket-group', 'www-data').socketGroup, 'www-data');
    for (const zero of ['--timeout=0', '--request-timeout=0.0', '--max-lifetime=0'])
      assert.ok(config(zero), zero);
  });

  it('of several addresses is separated by commas, or by repeating the flag', () => {
    const both = [
      { kind: 'unix', path: '/a' },
      { kind: 'tcp', host: '::1', port: 80 },
    ];
    for (const argv of [
      ['-b', 'unix:/a', '--bind=[::1]:80'],
      ['-b', 'unix:/a,[::1]:80'],
      ['-b', 'unix:/a, [::1]:80'],
    ]) {
      assert.deepEqual(config(...argv).bind, both, argv.join(' '));
    }
    assert.deepEqual(load([], { FASTICORN_BIND: 'unix:/a,[::1]:80' }, machine).config.bind, both);
    assert.deepEqual(load(['-b:1'], { FASTICORN_BIND: 'unix:/a' }, machine).config.bind, [
      { kind: 'tcp', host: '0.0.0.0', port: 1 },
    ]);
  });
});

describe('dev', () => {
  it('before the app is --watch, and changes defaults', () => {
    const { app, config, origins } = load(['dev', './app.mjs'], {}, machine);
    assert.equal(app, './app.mjs');
    assert.deepEqual(
      [config.watch, config.workers, config.pretty, config.gracefulTimeout],
      [true, 1, true, 3],
    );
    assert.deepEqual(origins.watch, { from: 'flag', name: 'dev' });
    assert.deepEqual(origins.workers, { from: 'default', with: 'watch' });
  });

  it('changes nothing that is given', () => {
    const { config, origins } = load(['dev', './app.mjs', '--no-pretty'], { WEB_CONCURRENCY: '2' }, machine);
    assert.deepEqual([config.workers, config.pretty], [2, false]);
    assert.equal(origins.workers.from, 'env');
  });

  it('makes no command of the app behind it, nor goes with --no-watch', () => {
    assert.equal(load(['dev', 'reload'], {}, machine).app, 'reload');
    assert.equal(
      mistake(['dev', 'a.mjs', '--no-watch']),
      'dev and --no-watch do not go together: leave one of them out',
    );
  });

  it('is needed by --watch-extra, but not in a file', () => {
    assert.match(
      mistake(['--watch-extra', 'views']),
      /^--watch-extra: "views" is not valid: it adds to --watch/,
    );
    assert.deepEqual(load([], {}, machine, file({ watchExtra: ['views'] })).config.watchExtra, ['views']);
  });
});

describe('--inspect', () => {
  const inspect = (flag: string) => load([flag], {}, machine).config.inspect;

  it('is on loopback and port 9229 unless it says otherwise', () => {
    assert.deepEqual(inspect('--inspect'), { kind: 'tcp', host: '127.0.0.1', port: 9229 });
    assert.deepEqual(inspect('--inspect=9230'), { kind: 'tcp', host: '127.0.0.1', port: 9230 });
    assert.deepEqual(inspect('--inspect=0.0.0.0:9230'), { kind: 'tcp', host: '0.0.0.0', port: 9230 });
    assert.equal(inspect('--no-inspect'), undefined);
    assert.equal(
      mistake(['--inspect=unix:/a']),
      '--inspect: "unix:/a" is not valid: expected PORT or HOST:PORT',
    );
    for (const value of ['foo', '5'])
      assert.equal(
        mistake([`--inspect=${value}`]),
        `--inspect: "${value}" is not valid: expected PORT or HOST:PORT`,
      );
  });

  it('has no worker taken for stuck, unless that is asked for', () => {
    assert.equal(load(['--inspect'], {}, machine).config.timeout, 0);
    assert.equal(load(['--inspect', '--timeout=9'], {}, machine).config.timeout, 9);
  });
});

describe('a config file', () => {
  it('wins over the default, and loses to the environment and to flags', () => {
    const values = { workers: 2, keepAlive: 10, timeout: 20 };
    const { config, origins } = load(['-t5'], { WEB_CONCURRENCY: '3' }, machine, file(values));
    assert.deepEqual([config.workers, config.keepAlive, config.timeout], [3, 10, 5]);
    assert.deepEqual(
      [origins.workers, origins.keepAlive, origins.timeout],
      [
        { from: 'env', name: 'WEB_CONCURRENCY' },
        { from: 'file', name: 'fasticorn.config.mjs', line: 3 },
        { from: 'flag', name: '-t' },
      ],
    );
  });

  it('has an origin without a line where that is not known', () => {
    const unknown = { ...file({ workers: 2 }), lineOf: () => undefined };
    assert.deepEqual(load([], {}, machine, unknown).origins.workers, {
      from: 'file',
      name: 'fasticorn.config.mjs',
    });
  });

  it('may name the app, and the command line may name another', () => {
    const config = file({ app: './a.js' });
    assert.equal(load([], {}, machine, config).app, './a.js');
    assert.equal(load(['b.js'], {}, machine, config).app, 'b.js');
  });

  it('gives numbers, booleans, strings and arrays', () => {
    const config = inFile({
      workers: 4,
      keepAlive: 0.5,
      pretty: true,
      takeover: false,
      logLevel: 'warn',
      bind: ['unix:/a', ':80'],
      socketGroup: 101,
    });
    assert.deepEqual(
      [config.workers, config.keepAlive, config.pretty, config.takeover, config.logLevel, config.socketGroup],
      [4, 0.5, true, false, 'warn', '101'],
    );
    assert.deepEqual(config.bind, [
      { kind: 'unix', path: '/a' },
      { kind: 'tcp', host: '0.0.0.0', port: 80 },
    ]);
  });

  it('may give the text of a flag instead', () => {
    const { workers, pretty, bind } = inFile({ workers: '4', pretty: 'off', bind: 'unix:/a,unix:/b' });
    assert.deepEqual([workers, pretty, bind.length], [4, false, 2]);
  });

  it('has the mode as a number or as the text of one', () => {
    assert.equal(inFile({ socketMode: 0o660 }).socketMode, 0o660);
    for (const mode of ['660', '0660', '0o660']) assert.equal(inFile({ socketMode: mode }).socketMode, 0o660);
  });

  it('gives nothing by null and undefined', () => {
    const { config, origins, app } = load(
      [],
      {},
      machine,
      file({ workers: null, keepAlive: undefined, app: null }),
    );
    assert.deepEqual([config.workers, config.keepAlive, app], [8, 75, undefined]);
    assert.deepEqual(origins.workers, { from: 'default' });
  });

  it('gives only what is its own', () => {
    const config = file(Object.create({ workers: 2, app: 'a.js' }));
    assert.deepEqual(load([], {}, machine, config), load([], {}, machine));
  });

  it('is not looked at by --help', () => {
    assert.equal(load(['--help'], {}, machine, file({ nope: 1 })).action, 'help');
  });
});

describe('the config file that is named', () => {
  const named = (argv: string[], env = {}) => namedConfigFile(argv, env);

  it('is that of the last flag, else that of the variable', () => {
    const env = { FASTICORN_CONFIG: 'e.mjs' };
    assert.deepEqual(named(['-c', 'a.mjs', '--config=b.mjs'], env), {
      path: 'b.mjs',
      origin: { from: 'flag', name: '--config' },
    });
    assert.deepEqual(named([], env), {
      path: 'e.mjs',
      origin: { from: 'env', name: 'FASTICORN_CONFIG' },
    });
    assert.equal(named([]), undefined);
    assert.equal(named([], { FASTICORN_CONFIG: '' }), undefined);
  });

  it('is found among mistakes, and is none if it is one itself', () => {
    assert.equal(named(['--nope', 'scale', '-1', '-c', 'a.mjs', '-w', 'x'])?.path, 'a.mjs');
    for (const argv of [['-c'], ['-c', '--bind'], ['--config=']])
      assert.equal(named(argv, { FASTICORN_CONFIG: 'e.mjs' }), undefined, argv.join(' '));
    assert.equal(named(['--', '-c', 'a.mjs']), undefined);
  });
});

describe('a command for a running server', () => {
  const verb = (...argv: string[]) => load(argv, {}, machine).verb;

  it('stands where the app would, with all the usual flags', () => {
    const { app, verb, config } = load(['-b', 'unix:/a', 'reload', '--no-wait', '-w2'], {}, machine);
    assert.deepEqual(verb, { name: 'reload', noWait: true, json: false });
    assert.deepEqual([app, config.workers, config.bind], [undefined, 2, [{ kind: 'unix', path: '/a' }]]);
  });

  it('is every verb, and status', () => {
    for (const name of verbNames) {
      assert.equal(verb(name, ...(name === 'scale' ? ['1'] : []))?.name, name);
    }
    assert.deepEqual(verb('status', '--json'), { name: 'status', noWait: false, json: true });
  });

  it('is no app of that name, which is given with its directory', () => {
    const { app, verb } = load(['./status'], {}, machine);
    assert.deepEqual([app, verb], ['./status', undefined]);
  });

  it('takes its argument as it is, even one that looks like a flag', () => {
    for (const argument of ['4', '+1', '-1', '-12']) {
      assert.equal(verb('-w2', 'scale', argument, '--pretty')?.argument, argument);
    }
    assert.equal(load(['scale', '-1', '-w2'], {}, machine).config.workers, 2);
    assert.equal(verb('scale', '--', '-1')?.argument, '-1');
  });

  it('may be told to hurry in two ways', () => {
    assert.equal(verb('stop', '--now')?.argument, 'now');
    assert.equal(verb('stop', 'now')?.argument, 'now');
    assert.equal(verb('stop')?.argument, undefined);
  });

  it('gives way to --help', () => assert.equal(load(['scale', '-1', '--help'], {}, machine).action, 'help'));
});

describe('a switch', () => {
  it('is turned on and off by its flag', () => {
    assert.equal(config('--pretty').pretty, true);
    assert.equal(load(['--no-pretty'], {}, machine).config.pretty, false);
    assert.equal(config('--pretty=false').pretty, false);
    assert.equal(config('--pretty=yes').pretty, true);
  });

  it('is turned on and off by its variable', () => {
    assert.equal(load([], { FASTICORN_PRETTY: '1' }, machine).config.pretty, true);
    assert.equal(load([], { FASTICORN_PRETTY: 'off' }, machine).config.pretty, false);
  });

  it('leaves the next argument alone', () => {
    assert.equal(load(['--pretty', 'app.js'], {}, machine).app, 'app.js');
    assert.equal(load(['--pretty=true', '1'], {}, machine).app, '1');
  });
});

describe('the app', () => {
  it('may stand before, between and after the flags', () => {
    for (const argv of [
      ['app.js', '-w', '2', '--pretty'],
      ['-w', '2', 'app.js', '--pretty'],
      ['-w2', 'app.js'],
    ]) {
      const loaded = load(argv, {}, machine);
      assert.deepEqual([loaded.app, loaded.config.workers], ['app.js', 2]);
    }
  });

  it('may begin with a dash after --', () =>
    assert.equal(load(['--', '-app.js'], {}, machine).app, '-app.js'));

  it('of the config file gets what looks like a flag after --', () => {
    const loaded = load(['-w2', '--', '--prefix', '/api'], {}, machine, file({ app: './app.js' }));
    assert.deepEqual([loaded.app, loaded.args, loaded.config.workers], ['./app.js', ['--prefix', '/api'], 2]);
    const other = load(['--', 'b.js'], {}, machine, file({ app: './app.js' }));
    assert.deepEqual([other.app, other.args], ['b.js', []]);
  });

  it('is known to actions, too', () => {
    const { app, action, config } = load(['--check-config', 'app.js', '-w2'], {}, machine);
    assert.deepEqual([app, action, config.workers], ['app.js', 'checkConfig', 2]);
  });
});

describe('--help and --version', () => {
  it('win over every mistake elsewhere', () => {
    for (const [flag, action] of [
      ['--help', 'help'],
      ['-h', 'help'],
      ['-v', 'version'],
      ['--version', 'version'],
    ]) {
      for (const argv of [
        [flag!, '--nope'],
        ['-w', 'abc', flag!],
        ['a', 'b', '--bind=', flag!],
      ]) {
        assert.equal(load(argv, { WEB_CONCURRENCY: 'abc' }, machine).action, action);
      }
    }
  });

  it('win over other actions, and help over version', () => {
    assert.equal(load(['--check-config', '--version'], {}, machine).action, 'version');
    assert.equal(load(['--version', '--help', '--print-config'], {}, machine).action, 'help');
  });

  it('are about every option with all', () => {
    const everything = (...argv: string[]) => load(argv, {}, machine).everything;
    for (const argv of [
      ['--help', 'all'],
      ['-h', 'all'],
      ['--help=all'],
      ['-w', 'x', '--help', 'all', '--nope'],
    ])
      assert.equal(everything(...argv), true, argv.join(' '));
    for (const argv of [['--help'], ['--help', 'app.js'], ['all', '--help'], ['--version', 'all']])
      assert.equal(everything(...argv), undefined, argv.join(' '));
  });

  it('are no flags after --', () => assert.equal(load(['--', '--help'], {}, machine).app, '--help'));

  it('are not excused from being wrong themselves', () => {
    assert.equal(mistake(['--help=workers']), '--help takes only all, got "workers"');
    assert.equal(mistake(['--version=all']), '--version takes no value, got "all"');
  });
});

describe('an unknown variable', () => {
  it('is ignored: Kubernetes sets FASTICORN_PORT for a service called fasticorn', () => {
    const env = { FASTICORN_PORT: 'tcp://10.0.0.1:80', FASTICORN_WORKERS: '3' };
    assert.deepEqual(load([], env, machine), load([], {}, machine));
  });
});

describe('a mistake is told in one line:', () => {
  const EXPECTED_WORKERS = 'expected a whole number from 1 to 1024';
  const mistakes: [argv: string[], env: Record<string, string>, message: string][] = [
    // A wrong value.
    [['--workers', 'abc'], {}, `--workers: "abc" is not valid: ${EXPECTED_WORKERS}`],
    [['-w', 'abc'], {}, `-w: "abc" is not valid: ${EXPECTED_WORKERS}`],
    [['-w0'], {}, `-w: "0" is not valid: ${EXPECTED_WORKERS}`],
    [['--workers=1025'], {}, `--workers: "1025" is not valid: ${EXPECTED_WORKERS}`],
    [['--workers=1.5'], {}, `--workers: "1.5" is not valid: ${EXPECTED_WORKERS}`],
    [['--workers=-1'], {}, `--workers: "-1" is not valid: ${EXPECTED_WORKERS}`],
    [['--workers='], {}, `--workers: "" is not valid: ${EXPECTED_WORKERS}`],
    [['--workers', '2\n3'], {}, `--workers: "2\\n3" is not valid: ${EXPECTED_WORKERS}`],
    [
      [],
      { WEB_CONCURRENCY: 'abc' },
      `WEB_CONCURRENCY="abc" (the variable for --workers): ${EXPECTED_WORKERS}`,
    ],
    [
      ['--keep-alive=0'],
      {},
      '--keep-alive: "0" is not valid: expected a number of seconds from 0.001 to 604800',
    ],
    [
      ['--keep-alive=5s'],
      {},
      '--keep-alive: "5s" is not valid: expected a number of seconds from 0.001 to 604800',
    ],
    [
      ['--keep-alive=0.0000001'],
      {},
      '--keep-alive: "0.0000001" is not valid: expected a number of seconds from 0.001 to 604800',
    ],
    [['--socket-mode=999'], {}, '--socket-mode: "999" is not valid: expected an octal mode such as 0660'],
    [['--pretty=maybe'], {}, '--pretty: "maybe" is not valid: expected true or false'],
    [
      ['--bind=80'],
      {},
      '--bind: "80" is not valid: expected unix:/path/to.sock or HOST:PORT; did you mean :80?',
    ],
    [
      ['-p', '3000'],
      {},
      '-p: "3000" is not valid: expected a file; for a port say --bind 127.0.0.1:3000, for a file of that name ./3000',
    ],
    [['--error-logfile='], {}, '--error-logfile: "" is not valid: expected a value, got an empty one'],
    [
      ['--log-level=WARN'],
      {},
      '--log-level: "WARN" is not valid: expected one of trace, debug, info, warn, error, fatal, silent',
    ],
    // No value, or one too many.
    [['--bind'], {}, '--bind needs a value (ADDRESS), got none'],
    [
      ['--bind', '--workers', '2'],
      {},
      '--bind needs a value (ADDRESS), got "--workers", which looks like a flag; if it is the value, write --bind=--workers',
    ],
    [
      ['-b', '-w', '2'],
      {},
      '-b needs a value (ADDRESS), got "-w", which looks like a flag; if it is the value, write --bind=-w',
    ],
    [['--no-pretty=false'], {}, '--no-pretty takes no value, got "false"'],
    [['--pretty', 'false', 'app.js'], {}, 'unexpected argument "false" after --pretty: write --pretty=false'],
    // An unknown flag.
    ...['--port', '--host', '--address', '-a'].map((flag): [string[], Record<string, string>, string] => [
      [flag, '3000'],
      {},
      `unknown flag ${flag}: did you mean --bind 127.0.0.1:3000?`,
    ]),
    [['--instances=2'], {}, 'unknown flag --instances: did you mean --workers?'],
    [['--kill-timeout=3000'], {}, 'unknown flag --kill-timeout: did you mean --graceful-timeout?'],
    [['--wrokers', '4'], {}, 'unknown flag --wrokers: did you mean --workers?'],
    [['--worker=4'], {}, 'unknown flag --worker: did you mean --workers?'],
    [['--graceful'], {}, 'unknown flag --graceful: did you mean --graceful-timeout?'],
    [['--socket_mode=660'], {}, 'unknown flag --socket_mode: did you mean --socket-mode?'],
    [['--Bind'], {}, 'unknown flag --Bind: did you mean --bind?'],
    [['--socket'], {}, 'unknown flag --socket: did you mean --socket-mode?'],
    [['--bnid'], {}, 'unknown flag --bnid: did you mean --bind?'],
    [['--no-prety'], {}, 'unknown flag --no-prety: did you mean --no-pretty?'],
    [['--no-workers'], {}, 'unknown flag --no-workers: did you mean --workers?'],
    [['-workers', '4'], {}, 'unknown flag -workers: did you mean --workers?'],
    [['-W', '4'], {}, 'unknown flag -W: did you mean -w?'],
    [['-x'], {}, 'unknown flag -x: see fasticorn --help'],
    [['--toString'], {}, 'unknown flag --toString: see fasticorn --help'],
    [['--__proto__=1'], {}, 'unknown flag --__proto__: see fasticorn --help'],
    [['--a\nb'], {}, 'unknown flag "--a\\nb": see fasticorn --help'],
    // The app.
    [[''], {}, 'the app is "": expected the file of the app, such as ./dist/app.js'],
    [
      ['My', 'App/app.js'],
      {},
      'unexpected argument "App/app.js": the app is already "My" (quote a path that has spaces; with npm, put -- before the flags)',
    ],
    [
      ['start', 'app.js'],
      {},
      'unexpected argument "app.js": the app is already "start"; did you mean fasticorn APP, without start?',
    ],
    // A command.
    [['scale'], {}, 'scale needs an argument (N|+N|-N), got none'],
    [['scale', 'x'], {}, 'scale: "x" is not valid: expected N|+N|-N'],
    [['scale', '-1x'], {}, 'scale: "-1x" is not valid: expected N|+N|-N'],
    [['scale', '4', '5'], {}, 'unexpected argument "5": scale takes only N|+N|-N'],
    [['stop', 'later'], {}, 'stop: "later" is not valid: expected now'],
    [['reload', 'app.js'], {}, 'unexpected argument "app.js": reload takes none'],
    [['status', 'app.js'], {}, 'unexpected argument "app.js": status takes none'],
    [['--json', 'app.js'], {}, '--json is only for the commands: fasticorn status'],
    [
      ['pause', '--no-wait'],
      {},
      '--no-wait is only for the commands: fasticorn reload, fasticorn upgrade, fasticorn stop',
    ],
    [['reload', '--now'], {}, '--now is only for the commands: fasticorn stop'],
    [['stop', '--now=1'], {}, '--now takes no value, got "1"'],
    [['reload', '--check-config'], {}, '--check-config and reload do not go together: leave one of them out'],
    // Addresses.
    [
      ['-b', 'unix:/a', '--bind='],
      {},
      '--bind: "unix:/a," is not valid: expected unix:/path/to.sock or HOST:PORT (got "" between commas)',
    ],
    [
      ['-b', 'unix:/a,b'],
      {},
      '-b: "unix:/a,b" is not valid: expected unix:/path/to.sock or HOST:PORT (got "b" between commas)',
    ],
    [
      ['-b', ':80', '-b', '0.0.0.0:80'],
      {},
      '-b: ":80,0.0.0.0:80" is not valid: expected each only once, got "0.0.0.0:80" twice',
    ],
    // Off, or within bounds.
    [
      ['--timeout=0.5'],
      {},
      '--timeout: "0.5" is not valid: expected 0 (off) or a number of seconds from 1 to 604800',
    ],
    // Settings that do not go together.
    [
      ['--max-requests-jitter=5'],
      {},
      '--max-requests-jitter: "5" is not valid: it is added to --max-requests, which is off; set that as well, or drop this',
    ],
    [
      ['--proxy-allow-ips', '10.0.0.0/8'],
      {},
      '--proxy-allow-ips: "10.0.0.0/8" is not valid: it says who may use --proxy-protocol, which is off; set that as well, or drop this',
    ],
    [
      ['-b', ':80', '--takeover'],
      {},
      '--takeover: "true" is not valid: expected a Unix socket with a path, but -b is ":80"; drop one of them',
    ],
    [
      ['-b', ':80', '--socket-mode', '660'],
      {},
      '--socket-mode: "660" is not valid: expected a Unix socket with a path, but -b is ":80"; drop one of them',
    ],
    [
      [],
      { FASTICORN_BIND: ':80', FASTICORN_SOCKET_GROUP: 'www' },
      'FASTICORN_SOCKET_GROUP="www" (the variable for --socket-group): expected a Unix socket with a path, but FASTICORN_BIND is ":80"; drop one of them',
    ],
  ];
  for (const [argv, env, message] of mistakes) {
    it(message, () => assert.equal(mistake(argv, env), message));
  }
});

describe('a mistake in the file is told in one line with its place:', () => {
  const EXPECTED_WORKERS = 'expected a whole number from 1 to 1024';
  const mistakes: [values: Record<string, unknown>, message: string][] = [
    [{ workers: 'many' }, `workers: "many" is not valid: ${EXPECTED_WORKERS}`],
    [{ workers: 1.5 }, `workers: 1.5 is not valid: ${EXPECTED_WORKERS}`],
    [{ workers: Number.NaN }, `workers: NaN is not valid: ${EXPECTED_WORKERS}`],
    [{ workers: true }, 'workers: true is not valid: expected a number'],
    [{ workers: [4] }, 'workers: [4] is not valid: expected a number'],
    [{ pretty: 1.5 }, 'pretty: 1.5 is not valid: expected a boolean'],
    [{ pid: 5 }, 'pid: 5 is not valid: expected a string'],
    [{ logLevel: 'WARN\n' }, 'logLevel: "WARN\\n" is not valid: expected one of'],
    [{ bind: [] }, 'bind: [] is not valid: expected one at least; for the default leave the key out'],
    [{ bind: [80] }, 'bind: [80] is not valid: expected a string or an array of strings'],
    [
      { forwardedAllowIps: ['010.0.0.1'] },
      'forwardedAllowIps: ["010.0.0.1"] is not valid: expected an IP address',
    ],
    [{ proxyAllowIps: '192.168.001.0/24' }, 'proxyAllowIps: "192.168.001.0/24" is not valid: expected an IP'],
    [{ bind: 80 }, 'bind: 80 is not valid: expected a string or an array of strings'],
    [
      { bind: ['unix:/a', 'unix:///a'] },
      'bind: ["unix:/a","unix:///a"] is not valid: expected each only once, got "unix:/a" twice',
    ],
    [
      { socketMode: 660 },
      "socketMode: 660 is not valid: expected an octal mode such as '0660', or 0o660 in JavaScript",
    ],
    [{ app: 5 }, 'app: 5 is not valid: expected the file of the app, such as ./dist/app.js'],
    [{ app: '' }, 'app: "" is not valid: expected the file of the app, such as ./dist/app.js'],
    [
      { socketMode: 0o660, bind: ':80' },
      'socketMode: "0660" is not valid: expected a Unix socket with a path, but bind (fasticorn.config.mjs:3) is ":80"; drop one of them',
    ],
    // A key that is none.
    [{ wrokers: 4 }, 'unknown key "wrokers": did you mean workers?'],
    [{ 'graceful-timeout': 4 }, 'unknown key "graceful-timeout": did you mean gracefulTimeout?'],
    [{ port: 3000 }, 'unknown key "port": did you mean bind: \'127.0.0.1:3000\'?'],
    [{ instances: 2 }, 'unknown key "instances": did you mean workers?'],
    [{ max_memory_restart: '1G' }, 'unknown key "max_memory_restart": did you mean maxMemory?'],
    [{ script: 'app.js' }, 'unknown key "script": did you mean app?'],
    [{ '--pid': 'a' }, 'unknown key "--pid": did you mean pid?'],
    [{ WEB_CONCURRENCY: 4 }, 'unknown key "WEB_CONCURRENCY": did you mean workers?'],
    [{ App: 'a.js' }, 'unknown key "App": did you mean app?'],
    [{ toString: 4 }, 'unknown key "toString": see fasticorn --help'],
    [{ ['__proto__']: 4 }, 'unknown key "__proto__": see fasticorn --help'],
    [{ config: 'a.mjs' }, '"config" cannot be set in the file: use --config or FASTICORN_CONFIG'],
  ];
  for (const [values, message] of mistakes) {
    it(message, () => {
      const line = `fasticorn.config.mjs:2: ${message}`;
      assert.equal(mistake([], {}, values).slice(0, line.length), line);
    });
  }

  it('without its line where that is not known', () => {
    const nowhere = { ...file({ workers: 0 }), lineOf: () => undefined };
    assert.throws(() => load([], {}, machine, nowhere), {
      message: `fasticorn.config.mjs: workers: 0 is not valid: ${EXPECTED_WORKERS}`,
    });
  });

  it('and is none where a flag says it better', () => {
    assert.equal(load(['-w2'], {}, machine, file({ workers: 'many' })).config.workers, 2);
  });
});
