/**
 * Abstract names of Unix sockets (`unix:@name`), which Linux has beside paths: no file, no mode, gone with the last
 * process that has the socket.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn } from './support/command.ts';
import { controlOf, serving, statusOf } from './support/control.ts';
import { fetchFrom } from './support/http.ts';
import { Lineage } from './support/lineage.ts';
import { load } from './support/load.ts';
import { need } from './support/need.ts';
import { RawConnection } from './support/raw.ts';
import { app, type Server, startServer, temporaryDirectory, until } from './support/server.ts';
import { Site } from './support/site.ts';

const hasNames = process.platform === 'linux' && Number.parseInt(process.versions.node, 10) >= 22;
const needsNames = { skip: !hasNames && 'needs Linux and Node 22' };

/** A name that nobody has, and how a client of this process finds it. */
function newName(odd = '') {
  const name = `fasticorn-test-${randomUUID()}${odd}`;
  return { name, bind: `unix:@${name}`, to: { socketPath: `\0${name}` } };
}

/** Whether anybody has the name. */
const isTaken = (name: string) =>
  readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .some((row) => row.endsWith(` @${name}`));

/** Starts an app under a name, and waits until it serves. */
async function start(
  t: TestContext,
  bind: string,
  { file = app('echo.mjs'), args = [] as string[], env = {} } = {},
): Promise<Server> {
  const socket = join(temporaryDirectory(t), 'app.sock');
  const own = ['-b', bind, '--control-socket', controlOf({ socket })];
  const server = await startServer(t, file, [...own, ...args], { socket, early: true, env });
  await serving(server);
  return server;
}

describe('an abstract name', needsNames, () => {
  it('is found by others as it is written, and gone after the stop', need('curl'), async (t) => {
    const { name, bind, to } = newName(" it's $(odd)");
    const server = await start(t, bind);
    assert.equal((await fetchFrom(to, '/')).body, 'hello');
    const curl = server
      .log()
      .find(({ msg }) => msg.startsWith('ready'))!
      .msg.replace(/^.*try: curl /, 'curl -s ');
    assert.equal(execFileSync('sh', ['-c', curl], { encoding: 'utf8' }), 'hello');
    assert(isTaken(name));
    assert.equal(await server.stop(), 0);
    assert(!isTaken(name));
  });

  it('has the control socket of a server without a path', async (t) => {
    const { bind } = newName();
    const server = await startServer(t, app('echo.mjs'), ['-b', bind], { early: true });
    const control = `/tmp/fasticorn-${server.pid}.ctl`;
    await until(() => existsSync(control), 'the control socket');
    const { code, stdout } = await fasticorn(t, ['status', '--control-socket', control]);
    assert.equal(code, 0);
    assert(stdout.includes(bind), stdout);
    const wrong = await fasticorn(t, ['status', '-b', bind]);
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /a server without the path of a Unix socket is found by --control-socket/);
  });

  it('trusts the one proxy that connects, as any Unix socket does', async (t) => {
    const { bind, to } = newName();
    const site = new Site(t);
    site.write('app.mjs', "export default async (app) => { app.get('/', async ({ ip }) => ip); };");
    await start(t, bind, { file: join(site.directory, 'app.mjs') });
    const headers = { 'x-forwarded-for': '203.0.113.7' };
    assert.equal((await fetchFrom(to, '/', { headers })).body, '203.0.113.7');
  });

  it('is kept by reloads and upgrades without loss', async (t) => {
    const lineage = new Lineage(t);
    const { name, bind, to } = newName();
    const server = await start(t, bind, { args: ['--access-logfile', 'off'], env: lineage.env });
    const control = controlOf(server);
    const ask = async (verb: string) => {
      const { code, stderr } = await fasticorn(t, [verb, '--control-socket', control], { cwd: '/' });
      assert.equal(code, 0, stderr);
    };
    const enough = new AbortController();
    const running = load({ to, connections: 16, signal: enough.signal });
    try {
      for (const verb of ['reload', 'upgrade']) await ask(verb);
      await until(() => lineage.arbiters().length === 1, 'the old arbiters to be gone');
    } finally {
      enough.abort();
    }
    const { good, bad, refused } = await running;
    assert.deepEqual([bad, refused], [[], 0]);
    assert(good > 100);
    await ask('stop');
    assert(!isTaken(name));
  });

  it('is given up by a stop that answers who waits in the accept queue', async (t) => {
    const { bind, to } = newName();
    const marks = join(temporaryDirectory(t), 'marks');
    const blocked = () => existsSync(marks) && readFileSync(marks, 'utf8').includes('block');
    const enough = join(temporaryDirectory(t), 'enough');
    const server = await start(t, bind, {
      ...{ file: app('lifecycle.mjs'), args: ['-w', '1'], env: { MARKS: marks } },
    });
    const blocker = await RawConnection.open(to.socketPath);
    blocker.get(`/block?until=${enough}`);
    await until(blocked, 'the worker to be blocked');
    const waiting = await Promise.all(Array.from({ length: 200 }, () => RawConnection.open(to.socketPath)));
    for (const connection of waiting) connection.post('/body', 'queued');
    server.kill('SIGTERM');
    await until(async () => (await statusOf(server)).arbiter.phase === 'stopping', 'the stop');
    writeFileSync(enough, '');
    assert.equal((await server.exited).code, 0);
    assert.equal(waiting.filter(({ received }) => received.endsWith('\r\n\r\nqueued')).length, 200);
  });

  it('of another server is left to it', async (t) => {
    const { bind, to } = newName();
    await start(t, bind);
    const { code, stderr } = await fasticorn(t, ['-b', bind, app('echo.mjs')]);
    assert.equal(code, 1);
    assert.equal(
      stderr,
      `fasticorn: --bind ${bind}: another server has that name; stop it, or choose another (EADDRINUSE)\n`,
    );
    assert.equal((await fetchFrom(to, '/')).body, 'hello');
  });

  it('may not be longer than the system takes', async (t) => {
    const bind = `unix:@${'a'.repeat(108)}`;
    const { code, stderr } = await fasticorn(t, ['-b', bind, app('echo.mjs')]);
    assert.equal(code, 1);
    assert.match(stderr, /: the name has 108 bytes, and the system takes 107 at most\n$/);
    await start(t, `unix:@${randomUUID()}${'b'.repeat(71)}`);
  });
});

describe('an abstract name', () => {
  it('is refused where Node would bind another one', { skip: hasNames && 'needs Node 20' }, async (t) => {
    const { code, stderr } = await fasticorn(t, ['-b', 'unix:@fasticorn-test', app('echo.mjs')]);
    assert.equal(code, 1);
    assert.match(stderr, /^fasticorn: --bind unix:@fasticorn-test: abstract names [^\n]+\n$/);
  });

  for (const setting of [['--socket-mode', '0660'], ['--socket-group', 'www-data'], ['--takeover']]) {
    it(`alone is no use with ${setting[0]}`, async (t) => {
      const { code, stderr } = await fasticorn(t, ['-b', 'unix:@a', ...setting, app('echo.mjs')]);
      assert.equal(code, 1);
      assert.match(stderr, /expected a Unix socket with a path, but -b is "unix:@a"; drop one of them\n$/);
    });
  }
});
