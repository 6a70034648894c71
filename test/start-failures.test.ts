/**
 * What keeps a server from starting, and what it says and exits with then: one reason, once.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn, type Outcome } from './support/command.ts';
import { app, CLI, startServer, temporaryDirectory } from './support/server.ts';

/** Tries to serve an app with three workers on a path of its own, which is to be as empty as before. */
async function start(t: TestContext, spec: string, how = '', args: string[] = []): Promise<Outcome> {
  const socket = join(temporaryDirectory(t), 'app.sock');
  const outcome = await fasticorn(t, ['-b', `unix:${socket}`, '-w', '3', ...args, spec], {
    env: { HOW: how },
  });
  assert.deepEqual(readdirSync(dirname(socket)), []);
  return outcome;
}

const count = (text: string, what: RegExp): number => text.match(new RegExp(what, 'g'))?.length ?? 0;

describe('an app that cannot be loaded', () => {
  const cases: [what: string, how: string, code: number, reason: RegExp][] = [
    ['throws when it is imported', 'import', 4, /"msg":"[^"]* failed to start: broken: import"/],
    ['throws in its plugin', 'plugin', 4, /"msg":"[^"]* failed to start: broken: plugin"/],
    ['throws in an onReady hook', 'ready hook', 4, /"msg":"[^"]* failed to start: broken: ready hook"/],
    [
      'throws outside of its plugin, while it boots',
      'later',
      4,
      /"msg":"[^"]* failed to start: broken: later"/,
    ],
    ['ends its process', 'exit', 3, /exited with code 0 before it was ready/],
  ];
  for (const [what, how, code, reason] of cases) {
    it(`since it ${what} ends the start with ${code}`, async (t) => {
      const outcome = await start(t, app('start/fails.mjs'), how);
      assert.equal(outcome.code, code);
      assert.equal(count(outcome.stderr, reason), 1, outcome.stderr);
      assert.equal(count(outcome.stderr, /"level":60/), 1);
      if (code === 4)
        assert.equal(count(outcome.stderr, /at (Immediate\.)?brokenHere \(/), 1, 'its stack, once');
      assert.equal(outcome.stdout, '');
    });
  }

  it('since it never comes to an end ends the start with 3 after --boot-timeout', async (t) => {
    const outcome = await start(t, app('start/fails.mjs'), 'endless import', ['--boot-timeout', '1']);
    assert.equal(outcome.code, 3);
    assert.equal(count(outcome.stderr, /"level":60/), 1, 'the reason, once');
    assert.match(outcome.stderr, /was killed, as it was not ready after 1 s \(--boot-timeout\)/);
  });

  it('since a plugin never comes to an end ends the start with 4 a moment earlier, and is named', async (t) => {
    const outcome = await start(t, app('start/fails.mjs'), 'endless plugin', ['--boot-timeout', '6']);
    assert.equal(outcome.code, 4);
    assert.equal(count(outcome.stderr, /"level":60/), 1, 'the reason, once');
    assert.match(
      outcome.stderr,
      /"msg":"[^"]*Plugin did not start in time: 'fails'\. [^"]*\. If it takes so long, raise --boot-timeout, or the app's own pluginTimeout"/,
    );
  });

  for (const [name, source] of [
    ['app.mjs', 'export default async function app() {\n  const = 1;\n}\n'],
    ['app.cjs', 'module.exports = async function app() {\n  const = 1;\n}\n'],
  ] as const) {
    it(`since it has a syntax error ends the start with 4 and the place of the error: ${name}`, async (t) => {
      const file = join(temporaryDirectory(t), name);
      writeFileSync(file, source);
      const { code, stderr } = await start(t, file);
      assert.equal(code, 4);
      assert.equal(count(stderr, /"level":60/), 1);
      assert.match(stderr, new RegExp(`${name}:2\\\\n`));
      assert.match(stderr, /SyntaxError: Unexpected token/);
    });
  }

  for (const source of [
    'export default async () => {};',
    "import 'node:fs';\nexport default async () => {};",
  ]) {
    it(`since package.json says that an ES module is CommonJS says what to do: ${source.split('\n')[0]}`, async (t) => {
      const directory = temporaryDirectory(t);
      writeFileSync(join(directory, 'package.json'), '{ "type": "commonjs" }');
      writeFileSync(join(directory, 'app.js'), source);
      const remedy = `${directory}/package.json says "type": "commonjs": say "module" there, or name the file .mjs.`;
      const { code, stderr } = await fasticorn(t, ['--check-config', join(directory, 'app.js')]);
      assert.equal(code, 4);
      assert.ok(stderr.endsWith(`\n${remedy}\n`), stderr);
      const started = await start(t, join(directory, 'app.js'));
      assert.match(started.stderr, /"msg":"[^\n]*say \\"module\\" there, or name the file \.mjs\."/);
    });
  }

  it('since it throws what is no Error says what, without a stack of ours', async (t) => {
    const file = join(temporaryDirectory(t), 'app.mjs');
    writeFileSync(file, 'export default async (app) => { throw { reason: 88 }; };');
    const { code, stderr } = await start(t, file);
    assert.equal(code, 4);
    assert.equal(count(stderr, /failed to start: \{ reason: 88 \} was thrown, which is no Error/), 1, stderr);
    assert.doesNotMatch(stderr, /"stack"|worker\.js/);
  });

  for (const log of ['access', 'error']) {
    for (const check of [[], ['--check-config']]) {
      it(`since nobody reads from its ${log} log, a named pipe, says so at once: ${check}`, async (t) => {
        const path = join(temporaryDirectory(t), 'pipe');
        spawnSync('mkfifo', [path]);
        const args = [...check, `--${log}-logfile`, path, app('start/exports.mjs')];
        const { code, stderr } = await fasticorn(t, ['-b', `unix:${path}.sock`, ...args]);
        assert.equal(code, 1);
        const reason =
          'cannot open it for appending: nobody reads from this named pipe; start its reader first';
        assert.equal(count(stderr, new RegExp(`--${log}-logfile ${path}: ${reason}`)), 1, stderr);
      });
    }
  }

  it('says why on standard error where the error log takes nothing', async (t) => {
    const args = ['--error-logfile', '/dev/full', app('start/exports.mjs:nothing')];
    const { code, stderr } = await fasticorn(t, ['-b', `unix:${join(temporaryDirectory(t), 's')}`, ...args]);
    assert.equal(code, 4);
    assert.equal(count(stderr, /no export by the name of \\"nothing\\"/), 1, stderr);
  });

  const mistakes: [what: string, spec: string, reason: RegExp][] = [
    ['there is no such file', 'no-such-app.mjs', /no-such-app\.mjs: there is no such file or package/],
    [
      'there is no such export',
      `${app('start/exports.mjs')}:nothing`,
      /no export by the name of \\"nothing\\"; it exports admin, notAPlugin, options/,
    ],
    [
      'there is no such export beside an app',
      `${app('start/only-an-app.mjs')}:nothing`,
      /no export by the name of \\"nothing\\"; it exports only a default"/,
    ],
    [
      'the export is nothing that can be served',
      `${app('start/exports.mjs')}:notAPlugin`,
      /its export \\"notAPlugin\\" is a number: expected a Fastify plugin/,
    ],
    [
      'the export answers requests of the Fetch API',
      `${app('start/fetch-app.mjs')}:app`,
      /its export \\"app\\" is a FetchApp: it answers requests of the Fetch API; export a \(req, res\) listener made of it/,
    ],
    [
      'the module is one that Bun would serve',
      app('start/fetch-app.mjs'),
      /does not listen; it answers requests of the Fetch API; export a \(req, res\) listener made of it/,
    ],
  ];
  for (const [what, spec, reason] of mistakes) {
    it(`since ${what} ends the start with 4 and no stack`, async (t) => {
      const { code, stderr } = await start(t, spec);
      assert.equal(code, 4);
      assert.equal(count(stderr, reason), 1, stderr);
      assert.equal(count(stderr, /"level":60/), 1);
      assert.doesNotMatch(stderr, /"stack"/);
    });
  }
});

describe('an app that is not there', () => {
  it('is what is said, where another server has the socket as well', async (t) => {
    const server = await startServer(t, app('plain.mjs'), ['-w', '1']);
    const { code, stderr } = await fasticorn(t, ['-b', `unix:${server.socket}`, 'no-such-app.mjs']);
    assert.equal(code, 4);
    assert.match(stderr, /^\{"level":60,[^\n]*"msg":"no-such-app\.mjs: there is no such file or package/);
    assert.equal(count(stderr, /\n/), 1, stderr);
    assert.equal(await server.stop(), 0);
  });
});

describe('a command line that cannot be served', () => {
  it('without an app is answered by the usage', async (t) => {
    const { code, stdout, stderr } = await fasticorn(t, []);
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^fasticorn: no app was given\n\nUsage: fasticorn \[options\] <app>\n/);
  });

  it('with an unknown flag is answered by the right spelling', async (t) => {
    const { code, stderr } = await fasticorn(t, ['--worker', '2', app('echo.mjs')]);
    assert.equal(code, 1);
    assert.equal(stderr, 'fasticorn: unknown flag --worker: did you mean --workers?\n');
  });

  it('with an error log that cannot be opened is refused before anything starts', async (t) => {
    const directory = join(temporaryDirectory(t), 'a-directory');
    mkdirSync(directory);
    for (const action of [[], ['--check-config']]) {
      const socket = join(directory, 'app.sock');
      const args = ['-b', `unix:${socket}`, '--error-logfile', directory, ...action, app('echo.mjs')];
      const { code, stderr } = await fasticorn(t, args);
      assert.equal(code, 1);
      assert.match(stderr, /^fasticorn: --error-logfile \S+: cannot open it for appending: .*\n$/);
      assert.equal(count(stderr, new RegExp(directory)), 1, 'its path, once');
      assert.equal(existsSync(socket), false);
    }
  });
});

describe('A start that fails with --log-level silent', () => {
  for (const [what, file] of [
    ['as there is no app', './none.mjs'],
    ['as its app throws', app('crashing.mjs')],
  ] as const)
    it(`says what hides the reason, ${what}`, async (t) => {
      const directory = temporaryDirectory(t);
      const flag = join(directory, 'broken');
      writeFileSync(flag, '');
      for (const log of [[], ['--error-logfile', join(directory, 'error.log')]]) {
        const own = ['-b', `unix:${join(directory, 'app.sock')}`, '-w', '1', '--log-level', 'silent'];
        const options = { cwd: directory, env: { BROKEN_IF: flag } };
        const { code, stderr } = await fasticorn(t, [...own, ...log, file], options);
        assert.notEqual(code, 0);
        assert.equal(
          stderr,
          'fasticorn: could not start, and --log-level silent hides why: --check-config says it\n',
        );
      }
    });
});

describe('What is printed', () => {
  it('may have no reader any more', () => {
    const script = '(sleep 0.5; "$0" "$1" --help all; echo "$?" >&2) | true';
    const { stderr } = spawnSync('sh', ['-c', script, process.execPath, CLI], { encoding: 'utf8' });
    assert.equal(stderr, '0\n');
  });
});

describe('--check-config', () => {
  it('makes no log files', async (t) => {
    const directory = temporaryDirectory(t);
    const logs = ['access', 'error'].flatMap((log) => [`--${log}-logfile`, join(directory, `${log}.log`)]);
    const { code } = await fasticorn(t, ['--check-config', ...logs, app('start/exports.mjs')]);
    assert.equal(code, 0);
    assert.deepEqual(readdirSync(directory), []);
  });

  it('loads a good app without touching the socket', async (t) => {
    const socket = join(temporaryDirectory(t), 'app.sock');
    const args = ['--check-config', '-b', `unix:${socket}`, app('start/exports.mjs')];
    const { code, stdout, stderr } = await fasticorn(t, args);
    assert.deepEqual(
      { code, stdout, stderr },
      {
        code: 0,
        stdout: `the settings are valid, and ${app('start/exports.mjs')} loads: a Fastify 5 plugin\n`,
        stderr: '',
      },
    );
    assert.deepEqual(readdirSync(dirname(socket)), []);
  });

  it('asks whether an app loads, and not whether it closes', async (t) => {
    for (const [closes, says] of [
      ["throw new Error('broken: close')", /"msg":"an error while the app was closing"/],
      ['await new Promise(() => {})', /^$/],
    ] as const) {
      const file = join(temporaryDirectory(t), 'app.mjs');
      writeFileSync(
        file,
        `export default async (app) => { app.addHook('onClose', async () => { ${closes}; }); };`,
      );
      const { code, stdout, stderr } = await fasticorn(t, ['--check-config', file]);
      assert.deepEqual(
        [code, stdout],
        [0, `the settings are valid, and ${file} loads: a Fastify 5 plugin\n`],
      );
      assert.match(stderr, says);
    }
  });

  const bad: [how: string, code: number, reason: RegExp][] = [
    ['plugin', 4, /^fasticorn: .*fails\.mjs failed to start:\nError: broken: plugin\n.* at brokenHere \(/],
    ['exit', 3, /fails\.mjs: before it was ready, its process exited with code 0\n$/],
    [
      'killed',
      3,
      /fails\.mjs: before it was ready, its process was ended by SIGKILL, perhaps because memory ran out\n$/,
    ],
    [
      'endless import',
      3,
      /is not ready after 1 s \(--boot-timeout\): it runs no JavaScript: it waits for something\n/,
    ],
    [
      'endless loop',
      3,
      /is not ready after 1 s \(--boot-timeout\): it is blocked\n {4}at spin \(\S+fails\.mjs:9:/,
    ],
  ];
  for (const [how, code, reason] of bad) {
    it(`says why an app does not load, and exits with ${code}: ${how}`, async (t) => {
      // Only where it is to pass: a busy machine takes a second for the others as well.
      const limit = how.startsWith('endless') ? ['--boot-timeout', '1'] : [];
      const args = ['--check-config', ...limit, app('start/fails.mjs')];
      const outcome = await fasticorn(t, args, { env: { HOW: how } });
      assert.equal(outcome.code, code);
      assert.match(outcome.stderr, reason);
      assert.equal(outcome.stdout, '');
    });
  }
});

describe('--check-config', () => {
  const wrong: [args: string[], reason: RegExp][] = [
    [['--socket-group', 'no-such-group'], /--socket-group no-such-group: there is no such group/],
    [['-b', 'unix:/no/such/directory/app.sock'], /the directory \/no\/such\/directory does not exist/],
    [
      ['--access-logfile', '/no/such/directory/log'],
      /--access-logfile \/no\/such\/directory\/log: cannot open it for appending: the directory \/no\/such\/directory does not exist; create it first\n$/,
    ],
  ];
  for (const [args, reason] of wrong) {
    it(`finds what a start would stumble over: ${args.join(' ')}`, async (t) => {
      const outcome = await fasticorn(t, ['--check-config', ...args, app('plain.mjs')]);
      assert.equal(outcome.code, 1);
      assert.match(outcome.stderr, reason);
    });
  }
});

describe('instead of serving', () => {
  const prints: [args: string[], text: RegExp][] = [
    [['--version'], /^fasticorn \d+\.\d+\.\d+ \(Node \d+\.\d+\.\d+\)\n$/],
    [['--help'], /\nUsage: fasticorn \[options\] <app>\n[\s\S]*--graceful-timeout SECONDS/],
    [['-w', '7', '--print-config'], /^workers += {1,2}7 +# flag -w$/m],
  ];
  for (const [args, text] of prints) {
    it(`${args.at(-1)} prints to standard output and exits with 0`, async (t) => {
      const { code, stdout, stderr } = await fasticorn(t, args);
      assert.equal(code, 0);
      assert.match(stdout, text);
      assert.equal(stderr, '');
    });
  }
});
