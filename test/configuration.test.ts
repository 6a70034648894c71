import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { configure, startDirectory } from '../src/configuration.ts';
import { UserError } from '../src/errors.ts';

let directory: string;
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'fasticorn-configuration-')));
  mkdirSync(join(directory, 'sub'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const write = (path: string, values: string) => writeFileSync(join(directory, path), values);
const here = (path: string) => join(directory, path);
const make = (argv: string[] = [], env: Record<string, string> = {}) =>
  configure({ argv, env, machine: { cpus: 8 }, directory });

async function mistake(argv: string[], env: Record<string, string> = {}): Promise<string> {
  try {
    await make(argv, env);
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    assert.match(error.message, /^[^\r\n]+$/);
    return error.message;
  }
  assert.fail(`no mistake found in ${JSON.stringify({ argv, env })}`);
}

describe('the config file', () => {
  it('need not be there', async () => {
    const { config, origins } = await make();
    assert.deepEqual([config.workers, config.config], [8, undefined]);
    assert.deepEqual(origins.workers, { from: 'default' });
  });

  it('has one of six names in the directory', async () => {
    const module = 'export default { workers: 3 }';
    const files = {
      'fasticorn.config.ts': module,
      'fasticorn.config.mts': module,
      'fasticorn.config.js': 'module.exports = { workers: 3 }',
      'fasticorn.config.mjs': module,
      'fasticorn.config.cjs': 'module.exports = { workers: 3 }',
      'fasticorn.config.json': '{ "workers": 3 }',
    };
    symlinkSync(fileURLToPath(new URL('../node_modules', import.meta.url)), here('node_modules'));
    for (const [name, text] of Object.entries(files)) {
      write(name, text);
      const { config, origins } = await make();
      assert.deepEqual([config.config, config.workers], [here(name), 3]);
      assert.deepEqual(origins.workers, { from: 'file', name, line: 1 });
      rmSync(here(name));
    }
  });

  it('is refused where there are two, unless one is named', async () => {
    write('fasticorn.config.json', '{ "workers": 3 }');
    write('fasticorn.config.mjs', 'export default { workers: 1 }');
    assert.equal(
      await mistake([]),
      `fasticorn.config.mjs and fasticorn.config.json are both in ${directory}: ` +
        'keep one of them, or name one: -c fasticorn.config.mjs',
    );
    assert.equal((await make(['-c', 'fasticorn.config.json'])).config.workers, 3);
  });

  it('is the one that is named, by flag or variable', async () => {
    write('fasticorn.config.json', '{ "workers": 3 }');
    write('sub/my.json', '{ "workers": 4, "app": "./app.js" }');
    for (const { app, config, origins } of [
      await make(['-c', 'sub/my.json']),
      await make([], { FASTICORN_CONFIG: 'sub/my.json' }),
    ]) {
      assert.deepEqual([app, config.workers, config.config], ['./app.js', 4, here('sub/my.json')]);
      assert.deepEqual(origins.workers, { from: 'file', name: 'sub/my.json', line: 1 });
    }
  });

  it('must be there if it is named', async () => {
    const nowhere = `expected a file, but there is none in ${directory}`;
    assert.equal(await mistake(['-c', 'no.mjs']), `-c: "no.mjs" is not valid: ${nowhere}`);
    assert.equal(
      await mistake([], { FASTICORN_CONFIG: 'no.mjs' }),
      `FASTICORN_CONFIG="no.mjs" (the variable for --config): ${nowhere}`,
    );
    assert.equal(
      await mistake(['-c', here('no.mjs')]),
      `-c: "${here('no.mjs')}" is not valid: expected a file, but it does not exist`,
    );
  });

  it('has no say about --help and --version', async () => {
    write('fasticorn.config.mjs', 'nonsense(');
    assert.equal((await make(['--help'])).action, 'help');
    assert.equal((await make(['-c', 'no.mjs', '--version', '--chdir=no'])).action, 'version');
    assert.match(await mistake(['app.js']), /^fasticorn\.config\.mjs:1: SyntaxError/);
  });

  it('is read anew each time', async () => {
    write('fasticorn.config.json', '{ "workers": 3 }');
    assert.equal((await make()).config.workers, 3);
    write('fasticorn.config.json', '{ "workers": 4 }');
    assert.equal((await make()).config.workers, 4);
  });

  it('is told about a mistake with its line', async () => {
    write('fasticorn.config.mjs', 'export default {\n  workers: "many",\n}');
    assert.equal(
      await mistake([]),
      'fasticorn.config.mjs:2: workers: "many" is not valid: expected a whole number from 1 to 1024',
    );
  });
});

describe('a wrong config file', () => {
  const way = 'status works without this file if you add --control-socket /path/to/app.sock.ctl';

  it('tells a command for a running server how to do without it', async () => {
    write('fasticorn.config.mjs', 'export default {\n  workers: "many",\n}');
    const wrong =
      'fasticorn.config.mjs:2: workers: "many" is not valid: expected a whole number from 1 to 1024';
    assert.equal(await mistake(['status']), `${wrong}; ${way}`);
    assert.equal(await mistake(['app.js']), wrong);
    write('fasticorn.config.json', '{}');
    assert.match(await mistake(['status']), /^fasticorn\.config\.mjs and .* are both in .*; status works/);
    assert.ok((await mistake(['-c', 'no.mjs', 'status'])).endsWith(`; ${way}`));
  });

  it('is said to be dispensable with the path of the control socket, where flags or variables tell it', async () => {
    write('fasticorn.config.mjs', 'nonsense(');
    for (const [argv, env, path] of [
      [['-b', 'unix:/run/app.sock'], {}, '/run/app.sock.ctl'],
      [['-b', '127.0.0.1:80', '-b', 'unix:app.sock', '--chdir', 'sub'], {}, here('sub/app.sock.ctl')],
      [[], { FASTICORN_CONTROL_SOCKET: 'own.ctl' }, here('own.ctl')],
      [['-b', '127.0.0.1:80'], {}, '/path/to/app.sock.ctl'],
    ] as [string[], Record<string, string>, string][]) {
      const message = await mistake([...argv, 'stop'], env);
      assert.ok(
        message.endsWith(`; stop works without this file if you add --control-socket ${path}`),
        message,
      );
    }
  });

  it('is not said to be dispensable for what the server itself needs it for', async () => {
    write('fasticorn.config.mjs', 'nonsense(');
    for (const verb of ['reload', 'upgrade']) assert.doesNotMatch(await mistake([verb]), /works without/);
  });

  it('is not blamed for what is wrong elsewhere', async () => {
    write('fasticorn.config.mjs', 'nonsense(');
    assert.doesNotMatch(await mistake(['status', '-w', 'x']), /works without/);
  });

  it('is in no way of a command that says where the server is', async () => {
    write('fasticorn.config.mjs', 'nonsense(');
    for (const path of ['/a.ctl', 'unix:/a.ctl', 'unix:///a.ctl']) {
      const { config } = await make(['status', '--control-socket', path]);
      assert.equal(config.controlSocket, '/a.ctl', path);
    }
  });
});

describe('a relative path', () => {
  const argv = ['-b', 'unix:a.sock,:80', '--pid=a.pid', '--control-socket=a.ctl'];
  it('of a socket may be written as in an address', async () => {
    assert.equal((await make(['--control-socket=unix:a.ctl'])).config.controlSocket, here('a.ctl'));
    assert.equal(
      await mistake(['--control-socket=unix:']),
      '--control-socket: "unix:" is not valid: expected a file name after unix:',
    );
  });

  const logs = ['--access-logfile=a.log', '--error-logfile=e.log', '--node=bin/node'];

  it('starts from the directory', async () => {
    const { app, config } = await make([...argv, ...logs, 'app.js']);
    assert.deepEqual(config.bind, [
      { kind: 'unix', path: here('a.sock') },
      { kind: 'tcp', host: '0.0.0.0', port: 80 },
    ]);
    assert.deepEqual(
      [config.pid, config.controlSocket, config.accessLogfile, config.errorLogfile, config.node],
      ['a.pid', 'a.ctl', 'a.log', 'e.log', 'bin/node'].map(here),
    );
    assert.deepEqual([app, config.chdir], ['app.js', directory]);
  });

  it('starts from --chdir, which itself starts from the directory', async () => {
    for (const chdir of ['sub', here('sub')]) {
      const { config } = await make([...argv, `--chdir=${chdir}`]);
      assert.deepEqual([config.chdir, config.pid], [here('sub'), here('sub/a.pid')]);
    }
  });

  it('of the config file starts from the directory, also beside --chdir', async () => {
    write('my.json', '{ "chdir": "sub", "pid": "a.pid" }');
    const { config } = await make(['-c', 'my.json']);
    assert.deepEqual([config.config, config.pid], [here('my.json'), here('sub/a.pid')]);
  });

  it('keeps a link, as its target may change', async () => {
    symlinkSync('sub', here('current'));
    assert.equal((await make(['--chdir=current'])).config.chdir, here('current'));
  });

  it('is not made of words that are no paths, nor of a name in PATH', async () => {
    const words = ['--control-socket=off', '--access-logfile=off', '--error-logfile=-', '--node=node22'];
    const { config } = await make(words);
    assert.deepEqual(
      [config.controlSocket, config.accessLogfile, config.errorLogfile, config.node, config.pid],
      ['off', 'off', '-', 'node22', undefined],
    );
    assert.equal((await make()).config.accessLogfile, '-');
  });

  it('may turn out to be the same as another', async () => {
    assert.equal(
      await mistake(['-b', 'unix:a', '-b', `unix:${here('a')}`]),
      `-b: "unix:a,unix:${here('a')}" is not valid: expected each only once, got "unix:${here('a')}" twice`,
    );
  });
});

describe('a file', () => {
  it('is not where a socket is to be, and no other file than it is meant to be', async () => {
    for (const [argv, reason] of [
      [
        ['-b', 'unix:a', '--access-logfile', './a'],
        `--access-logfile: "./a" is not valid: expected a file, but a socket is to be at ${here('a')}`,
      ],
      [
        ['-b', 'unix:a', '--error-logfile', 'a.ctl'],
        `--error-logfile: "a.ctl" is not valid: expected a file, but a socket is to be at ${here('a.ctl')}`,
      ],
      [
        ['-b', 'unix:a', '--pid', 'a'],
        `--pid: "a" is not valid: expected a file, but a socket is to be at ${here('a')}`,
      ],
      [
        ['--pid', 'a', '--access-logfile', 'a'],
        `--access-logfile: "a" is not valid: expected another file than that of --pid, ${here('a')}`,
      ],
    ] as const)
      assert.equal(await mistake([...argv]), reason);
    await make(['--access-logfile', 'a', '--error-logfile', 'a']);
  });
});

describe('a control socket', () => {
  it('has a path of its own', async () => {
    for (const [argv, place, of] of [
      [['-b', 'unix:a', '--control-socket', './a'], '--control-socket: "./a"', `a --bind, ${here('a')}`],
      [['-b', 'unix:a,unix:a.ctl'], '-b: "unix:a,unix:a.ctl"', `the control socket, ${here('a.ctl')}`],
    ] as const)
      assert.equal(
        await mistake([...argv]),
        `${place} is not valid: expected another path than that of ${of}`,
      );
    assert.equal(
      (await make(['-b', 'unix:a,unix:a.ctl', '--control-socket', 'off'])).config.controlSocket,
      'off',
    );
  });
});

describe('a port that the app adopts', () => {
  const adopt = ['--adopt', '9090=unix:./metrics.sock'];

  it('goes to a --bind, however its path is written', async () => {
    const { config } = await make(['--bind', 'unix:app.sock', '--bind', 'unix:metrics.sock', ...adopt]);
    assert.deepEqual(config.adopt, [{ port: 9090, to: { kind: 'unix', path: here('metrics.sock') } }]);
  });

  it('is refused where passed sockets have taken the place of its --bind, and told where it stands', async () => {
    write('fasticorn.config.json', '{ "bind": ["unix:a", "unix:b"],\n "adopt": "9090=unix:b" }');
    const input = { argv: [], env: {}, machine: { cpus: 8 }, directory };
    await make();
    await assert.rejects(configure({ ...input, activated: [{ kind: 'fd', fd: 3 }] }), {
      message:
        `fasticorn.config.json:2: adopt: "9090=unix:b" is not valid: expected the address of a --bind, but ` +
        `unix:${here('b')} is none of those that are bound (fd://3)`,
    });
  });
});

describe('--chdir', () => {
  it('must be a directory', async () => {
    write('file', '');
    write('my.json', '{\n"chdir": "no" }');
    const expected = 'is not valid: expected a directory, but';
    assert.equal(await mistake(['--chdir=no']), `--chdir: "no" ${expected} ${here('no')} does not exist`);
    assert.equal(await mistake(['--chdir=file']), `--chdir: "file" ${expected} ${here('file')} is none`);
    assert.equal(await mistake(['--chdir=/no/no']), `--chdir: "/no/no" ${expected} it does not exist`);
    assert.equal(
      await mistake([], { FASTICORN_CHDIR: 'no' }),
      `FASTICORN_CHDIR="no" (the variable for --chdir): expected a directory, but ${here('no')} does not exist`,
    );
    assert.equal(
      await mistake(['-c', 'my.json']),
      `my.json:2: chdir: "no" ${expected} ${here('no')} does not exist`,
    );
    rmSync(directory, { recursive: true });
    assert.equal(await mistake([]), `the working directory ${directory} does not exist`);
  });

  it('may be gone when a running server is to be stopped', async () => {
    assert.equal((await make(['stop', '--chdir=no', '-p', 'a.pid'])).config.pid, here('no/a.pid'));
  });
});

describe('the directory that the operator is in', () => {
  it('is as the shell says it, with its links', () => {
    symlinkSync('sub', here('current'));
    assert.equal(startDirectory(here('sub'), here('current')), here('current'));
    assert.equal(startDirectory(here('sub'), here('current/')), here('current'));
  });

  it('is the true one if the shell says nothing, nonsense, or another', () => {
    for (const pwd of [undefined, '', '.', 'sub', here('no'), directory, 'a\0b', '/a\0b'])
      assert.equal(startDirectory(here('sub'), pwd), here('sub'), pwd);
  });
});
