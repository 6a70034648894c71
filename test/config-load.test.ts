import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { load } from '../src/config/load.ts';
import { type Config, type Machine, rows } from '../src/config/settings.ts';
import { UserError } from '../src/errors.ts';

const machine: Machine = { cpus: 8 };
const config = (...argv: string[]): Config => load(argv, {}, machine).config;

/** The message of the UserError that the input makes. */
function mistake(argv: string[], env: Record<string, string> = {}): string {
  try {
    load(argv, env, machine);
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return error.message;
  }
  assert.fail(`no mistake found in ${JSON.stringify({ argv, env })}`);
}

describe('a value', () => {
  it('is the default if nothing is said', () => {
    assert.deepEqual(load([], {}, machine), {
      config: {
        bind: { kind: 'unix', path: '/tmp/app.sock' },
        backlog: 2048,
        socketMode: 0o666,
        socketGroup: undefined,
        workers: 8,
        bootTimeout: 30,
        gracefulTimeout: 30,
        keepAlive: 75,
        logLevel: 'info',
        accessLogfile: '-',
        errorLogfile: '-',
        pretty: undefined,
      },
      origins: Object.fromEntries(rows.map(([name]) => [name, { from: 'default' }])),
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
    assert.deepEqual(config('--bind', '[::1]:80').bind, { kind: 'tcp', host: '::1', port: 80 });
    for (const mode of ['660', '0660', '0o660'])
      assert.equal(config('--socket-mode', mode).socketMode, 0o660);
    assert.equal(config('--keep-alive', '1.5').keepAlive, 1.5);
    assert.equal(config('--log-level', 'warn').logLevel, 'warn');
    assert.equal(config('--socket-group', 'www-data').socketGroup, 'www-data');
  });
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

  it('are no flags after --', () => assert.equal(load(['--', '--help'], {}, machine).app, '--help'));

  it('are not excused from being wrong themselves', () => {
    assert.equal(mistake(['--help=workers']), '--help takes no value, got "workers"');
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
    [['--bind=80'], {}, '--bind: "80" is not valid: expected unix:/path/to.sock or HOST:PORT'],
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
    [['--worker-class', 'gevent'], {}, 'unknown flag --worker-class: see fasticorn --help'],
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
    // Settings that do not go together.
    [
      ['-b', ':80', '--socket-mode', '660'],
      {},
      '--socket-mode: "660" is not valid: expected a Unix socket, but -b is ":80"; drop one of them',
    ],
    [
      [],
      { FASTICORN_BIND: ':80', FASTICORN_SOCKET_GROUP: 'www' },
      'FASTICORN_SOCKET_GROUP="www" (the variable for --socket-group): expected a Unix socket, but FASTICORN_BIND is ":80"; drop one of them',
    ],
  ];
  for (const [argv, env, message] of mistakes) {
    it(message, () => assert.equal(mistake(argv, env), message));
  }
});

describe('any input at all', () => {
  it('makes a configuration that its own text makes again, or a mistake told in one line', () => {
    const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 32);
    const random = seeded(seed);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
    const noise = () =>
      Array.from({ length: Math.floor(random() * 8) }, () =>
        String.fromCharCode(random() * pick([128, 65536])),
      ).join('');
    const values = [
      '0',
      '1',
      '4',
      '1.5',
      '1e3',
      '0660',
      'true',
      'off',
      'info',
      '-',
      '',
      ':80',
      '[::1]:0',
      'unix:/a',
    ];
    const value = () => (random() < 0.8 ? pick(values) : noise());
    const flag = () => {
      const [, row] = pick(rows);
      const forms = [
        `--${row.flag}`,
        `--no-${row.flag}`,
        `-${row.short}`,
        `--${row.flag.slice(1)}`,
        '-',
        '--',
      ];
      return random() < 0.9 ? pick(forms) : `--${noise()}`;
    };
    const argument = () =>
      pick([flag, value, () => `${flag()}=${value()}`, () => `${flag()}${value()}`, noise])();

    let loads = 0;
    for (let run = 0; run < 20_000; run++) {
      const argv = Array.from({ length: Math.floor(random() * 5) }, argument);
      const env = random() < 0.3 ? { [pick(rows)[1].env]: value() } : {};
      const input = `FUZZ_SEED=${seed}: ${JSON.stringify({ argv, env })}`;
      try {
        const { config } = load(argv, env, machine);
        loads++;
        for (const [name, { kind }] of rows) {
          if (config[name] === undefined) continue;
          assert.deepEqual(kind.parse(kind.show(config[name])), config[name], `${input} ${name}`);
        }
      } catch (error) {
        assert.ok(error instanceof UserError, `${input} threw ${error}`);
        assert.match(error.message, /^[^\r\n]+$/, input);
      }
    }
    assert.ok(loads > 2000 && loads < 18_000, `FUZZ_SEED=${seed}: only one side was tried: ${loads} loads`);
  });
});

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
