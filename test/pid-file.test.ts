/**
 * The pid file: taken only from the dead, always whole, and removed only while it is ours.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { PidFile, readPid } from '../src/arbiter/pid-file.ts';
import { UserError } from '../src/errors.ts';
import { isRunning, temporaryDirectory, until } from './support/server.ts';

const fileIn = (t: TestContext) => join(temporaryDirectory(t), 'app.pid');
const ours = `${process.pid}\n`;

const SLEEP = 'process.stdout.write("here"); setInterval(() => {}, 1e6);';

/** A process that sleeps, with these arguments for node, by whatever name. */
async function sleeper(
  t: TestContext,
  args: string[],
  argv0 = process.execPath,
): Promise<ChildProcess & { pid: number }> {
  const child = spawn(process.execPath, args, { argv0, stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child as ChildProcess & { pid: number };
}

/** A script by this name that sleeps, or does something else. */
function scriptAt(t: TestContext, name: string, code = SLEEP): string {
  const path = join(temporaryDirectory(t), name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, code);
  return path;
}

const fasticornIn = (t: TestContext) => sleeper(t, [scriptAt(t, 'bin/fasticorn')]);
const somebodyIn = (t: TestContext) => sleeper(t, ['-e', SLEEP, '--', 'something', 'else']);

/** The pid of a process that has ended. */
const deadPid = () => spawnSync(process.execPath, ['-e', '']).pid;

/** Refused with one line that names the setting and matches, and everything as it was. */
function refuses(path: string, action: () => unknown, reason: RegExp): void {
  const beside = () => existsSync(dirname(path)) && readdirSync(dirname(path));
  const before = beside();
  assert.throws(action, (error) => {
    assert(error instanceof UserError, String(error));
    assert(error.message.startsWith(`--pid ${path}: `), error.message);
    assert.match(error.message, reason);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
  assert.deepEqual(beside(), before);
}

describe('claiming a pid file', () => {
  it('changes nothing', (t) => {
    const path = fileIn(t);
    new PidFile(path).claim();
    assert.deepEqual(readdirSync(dirname(path)), []);
    for (const stale of ['', '\n', `${deadPid()}\n`, ours, ` ${process.pid}`]) {
      writeFileSync(path, stale);
      new PidFile(path).claim();
      assert.equal(readFileSync(path, 'utf8'), stale);
    }
  });

  it('is refused while the fasticorn that it names runs', async (t) => {
    const path = fileIn(t);
    const other = await fasticornIn(t);
    writeFileSync(path, `${other.pid}\n`);
    refuses(
      path,
      () => new PidFile(path).claim(),
      new RegExp(`a fasticorn is running with pid ${other.pid}`),
    );
    assert.equal(readFileSync(path, 'utf8'), `${other.pid}\n`);
    other.kill('SIGKILL');
    await once(other, 'exit');
    new PidFile(path).claim();
  });

  const fasticorns: [what: string, start: (t: TestContext) => Promise<{ pid: number }>][] = [
    [
      'by its title',
      (t) => sleeper(t, ['-e', `process.title = "fasticorn: arbiter [app.mjs] 2 workers"; ${SLEEP}`]),
    ],
    ['by the beginning of its title', (t) => sleeper(t, ['-e', SLEEP], 'fasticorn: arb')],
    ['by its command', fasticornIn],
    ['by its script', (t) => sleeper(t, [scriptAt(t, 'node_modules/fasticorn/dist/cli.js')])],
    [
      'by its script, after options of node',
      (t) => sleeper(t, ['--no-warnings', scriptAt(t, 'bin/fasticorn')]),
    ],
  ];
  for (const [what, start] of fasticorns) {
    it(`is refused for a fasticorn that is known ${what}`, async (t) => {
      const path = fileIn(t);
      const { pid } = await start(t);
      writeFileSync(path, `${pid}\n`);
      refuses(path, () => new PidFile(path).claim(), /a fasticorn is running/);
      assert.equal(readPid(path), pid);
    });
  }

  const others: [what: string, start: (t: TestContext) => Promise<{ pid: number }>][] = [
    [
      'a program that looks at its log',
      (t) => sleeper(t, ['-e', SLEEP, '--', '-f', 'fasticorn.log'], 'tail'),
    ],
    ['an editor', (t) => sleeper(t, ['-e', SLEEP, '--', '/app/fasticorn'], 'vi')],
    ['a script that is given its name', (t) => sleeper(t, [scriptAt(t, 'tool.js'), '/usr/bin/fasticorn'])],
    ['a script of another name', (t) => sleeper(t, [scriptAt(t, 'fasticorn-exporter.js')])],
    ['a worker', (t) => sleeper(t, ['-e', `process.title = "fasticorn: worker 1 gen 1"; ${SLEEP}`])],
  ];
  for (const [what, start] of others) {
    it(`is right when it names ${what}, which is no server and gets no signal`, async (t) => {
      const path = fileIn(t);
      writeFileSync(path, `${(await start(t)).pid}\n`);
      new PidFile(path).claim();
      refuses(path, () => readPid(path), /no fasticorn is running with pid \d+$/);
    });
  }

  it('is right when another program has the pid by now', async (t) => {
    const path = fileIn(t);
    writeFileSync(path, `${(await somebodyIn(t)).pid}`);
    new PidFile(path).claim();
  });

  it('is right when the fasticorn is dead, though its parent has not noticed yet', {
    skip: process.platform !== 'linux' && 'needs /proc',
  }, async (t) => {
    const path = fileIn(t);
    // The shell becomes a program that never waits for the child that it has inherited.
    const child = scriptAt(
      t,
      'fasticorn',
      `const { readFileSync } = require('node:fs');
      while (readFileSync('/proc/' + process.ppid + '/comm', 'utf8') !== 'tail\\n');
      process.kill(process.pid, 'SIGKILL');`,
    );
    const parent = spawn(
      'sh',
      ['-c', '"$0" "$1" & echo $!; exec tail -f /dev/null', process.execPath, child],
      {
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    );
    t.after(() => parent.kill('SIGKILL'));
    const [pid] = (await once(parent.stdout, 'data')) as [Buffer];
    await until(() => !isRunning(Number(pid)), 'the end of the child');
    assert(existsSync(`/proc/${Number(pid)}`));
    writeFileSync(path, pid);
    new PidFile(path).claim();
  });

  const notPids = ['hello', '0', '-1', '1.5', '0x10', '12 13', '99999999999', `7${' '.repeat(100)}`];
  for (const text of notPids) {
    it(`is refused for a file with ${JSON.stringify(text.slice(0, 20))}, which is no pid file`, (t) => {
      const path = fileIn(t);
      writeFileSync(path, text);
      refuses(path, () => new PidFile(path).claim(), /something else than a process id$/);
      refuses(path, () => readPid(path), /something else than a process id$/);
    });
  }

  it('is refused for what is not a regular file', (t) => {
    const path = fileIn(t);
    mkdirSync(path);
    refuses(path, () => new PidFile(path).claim(), /not a regular file; it was left alone$/);
    const link = join(dirname(path), 'link');
    symlinkSync('app.pid', link);
    refuses(link, () => new PidFile(link).claim(), /not a regular file; it was left alone$/);
  });

  it('is refused where no file can be created', (t) => {
    const path = fileIn(t);
    const missing = join(dirname(path), 'run', 'app.pid');
    refuses(missing, () => new PidFile(missing).claim(), /the directory \S+run does not exist; create it/);
    writeFileSync(path, '');
    const below = join(path, 'app.pid');
    assert.throws(() => new PidFile(below).claim(), /app\.pid is not a directory$/);
  });

  const root = process.getuid?.() === 0;
  it('is refused where this user may not create files', { skip: !root && 'needs root' }, (t) => {
    const path = fileIn(t);
    const { href } = new URL('../src/arbiter/pid-file.ts', import.meta.url);
    const code = `const { PidFile } = await import(${JSON.stringify(href)});
      for (const what of ['claim', 'write']) {
        try { new PidFile(process.argv[1])[what]() } catch (error) { console.log(error.message) }
      }`;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', code, path],
      { uid: 65534, gid: 65534, encoding: 'utf8' },
    );
    assert.equal(
      stdout,
      `--pid ${path}: no file can be created in ${dirname(path)} (EACCES)\n--pid ${path}: cannot write it (EACCES)\n`,
      stderr,
    );
  });
});

describe('a pid file', () => {
  it('holds our pid, for everybody to read', (t) => {
    const umask = process.umask(0o077);
    t.after(() => process.umask(umask));
    const path = fileIn(t);
    new PidFile(path).write();
    assert.equal(readFileSync(path, 'utf8'), ours);
    assert.equal(lstatSync(path).mode & 0o777, 0o644);
    assert.deepEqual(readdirSync(dirname(path)), ['app.pid']);
  });

  it('is never absent or in pieces while it changes hands', async (t) => {
    const path = fileIn(t);
    new PidFile(path).write();
    const code = `const { readFileSync } = require('node:fs');
      process.stdout.write('here');
      process.once('SIGTERM', () => { process.exit(0) });
      (function look() {
        for (let i = 0; i < 1000; i++) {
          if (!/^\\d+\\n$/.test(readFileSync(process.argv[1], 'utf8'))) process.exit(1);
        }
        setImmediate(look);
      })();`;
    const reader = spawn(process.execPath, ['-e', code, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => reader.kill('SIGKILL'));
    await once(reader.stdout, 'data');
    for (let i = 0; i < 500; i++) new PidFile(path).write();
    reader.kill('SIGTERM');
    assert.deepEqual(await once(reader, 'exit'), [0, null]);
  });

  it('that cannot be written leaves what was there, and nothing else', (t) => {
    const path = fileIn(t);
    mkdirSync(join(path, 'full'), { recursive: true });
    refuses(path, () => new PidFile(path).write(), /not a regular file; it was left alone$/);
    assert(existsSync(join(path, 'full')));
  });

  it('that has become another server’s since it was claimed is left to that one', async (t) => {
    const path = fileIn(t);
    const file = new PidFile(path);
    file.claim();
    const other = await fasticornIn(t);
    writeFileSync(path, `${other.pid}\n`);
    refuses(path, () => file.write(), /a fasticorn is running/);
    assert.equal(readFileSync(path, 'utf8'), `${other.pid}\n`);
    file.remove();
    assert(existsSync(path));
  });

  it('is taken from the server that makes way, and from the dead', async (t) => {
    const path = fileIn(t);
    const { pid } = await fasticornIn(t);
    for (const before of [`${pid}\n`, `${deadPid()}\n`, '']) {
      writeFileSync(path, before);
      const file = new PidFile(path);
      file.claim(pid);
      file.write();
      assert.equal(readFileSync(path, 'utf8'), ours);
      assert(file.isOurs());
      assert.deepEqual(readdirSync(dirname(path)), ['app.pid']);
    }
  });

  it('goes to exactly one of several that write it at the same moment', async (t) => {
    const { href } = new URL('../src/arbiter/pid-file.ts', import.meta.url);
    const code = `const { PidFile } = await import(${JSON.stringify(href)});
      process.title = 'fasticorn: arbiter';
      process.stdout.write('here');
      process.stdin.on('data', (path) => {
        const file = new PidFile(String(path));
        try { file.write(); process.stdout.write('won') } catch { process.stdout.write('lost') }
      });`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', code];
    const servers = Array.from({ length: 3 }, () =>
      spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    t.after(() => {
      for (const server of servers) server.kill('SIGKILL');
    });
    const said = () =>
      Promise.all(servers.map(async ({ stdout }) => String((await once(stdout, 'data'))[0])));
    await said();
    for (let round = 0; round < 100; round++) {
      const path = fileIn(t);
      const answers = said();
      for (const { stdin } of servers) stdin.write(path);
      const won = (await answers).map((answer) => answer === 'won');
      const winners = servers.filter((_, i) => won[i]);
      assert.equal(winners.length, 1);
      assert.equal(readFileSync(path, 'utf8'), `${winners[0]!.pid}\n`);
      assert.deepEqual(readdirSync(dirname(path)), ['app.pid']);
    }
  });

  it('may have a name as long as the system allows', (t) => {
    const path = join(temporaryDirectory(t), 'n'.repeat(255));
    const file = new PidFile(path);
    file.write();
    file.remove();
    assert.deepEqual(readdirSync(dirname(path)), []);
  });

  it('is gone at the end', (t) => {
    const path = fileIn(t);
    const file = new PidFile(path);
    file.write();
    file.remove();
    assert.deepEqual(readdirSync(dirname(path)), []);
    file.remove();
  });

  it('stays if it is a successor’s, also one with the same pid in another container', (t) => {
    const path = fileIn(t);
    const file = new PidFile(path);
    file.write();
    writeFileSync(path, '12345\n');
    file.remove();
    assert.equal(readFileSync(path, 'utf8'), '12345\n');

    file.write();
    writeFileSync(`${path}.new`, ours);
    renameSync(`${path}.new`, path);
    file.remove();
    assert.equal(readFileSync(path, 'utf8'), ours);
  });

  it('stays if we have never written it', (t) => {
    const path = fileIn(t);
    writeFileSync(path, ours);
    new PidFile(path).remove();
    assert(existsSync(path));
  });

  it('may have become something else by the end', (t) => {
    const path = fileIn(t);
    const file = new PidFile(path);
    file.write();
    unlinkSync(path);
    mkdirSync(path);
    file.remove();
    assert(lstatSync(path).isDirectory());
  });
});

describe('a pid read for a command', () => {
  it('is that of the running fasticorn', async (t) => {
    const path = fileIn(t);
    const { pid } = await fasticornIn(t);
    writeFileSync(path, `${pid}\n`);
    assert.equal(readPid(path), pid);
  });

  it('is refused if nobody is there, or somebody else', async (t) => {
    const path = fileIn(t);
    refuses(path, () => readPid(path), /there is no such file; is the server running\?$/);
    writeFileSync(path, '');
    refuses(path, () => readPid(path), /the file is empty$/);
    writeFileSync(path, `${deadPid()}\n`);
    refuses(path, () => readPid(path), /no fasticorn is running with pid \d+$/);
    writeFileSync(path, `${(await somebodyIn(t)).pid}\n`);
    refuses(path, () => readPid(path), /no fasticorn is running with pid \d+$/);
  });
});
