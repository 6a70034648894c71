/**
 * `--reuse-port`: several independent servers on one TCP port.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn } from './support/command.ts';
import { controlOf, settled } from './support/control.ts';
import { fetchFrom } from './support/http.ts';
import { Lineage } from './support/lineage.ts';
import { load } from './support/load.ts';
import { freePort, hasIPv6 } from './support/port.ts';
import {
  app,
  type Server,
  type ServerOptions,
  startServer,
  temporaryDirectory,
  until,
} from './support/server.ts';

const canShare = process.platform === 'linux' && Number.parseInt(process.versions.node, 10) >= 22;

/** Starts a server of one worker on the port, and waits until it serves. */
async function start(
  t: TestContext,
  port: number,
  args: string[] = ['--reuse-port'],
  { host = '127.0.0.1', ...options }: ServerOptions & { host?: string } = {},
): Promise<Server> {
  const socket = join(temporaryDirectory(t), 'app.sock');
  const own = ['-b', `${host}:${port}`, '-w', '1', '--control-socket', controlOf({ socket })];
  const server = await startServer(t, app('echo.mjs'), [...own, ...args], {
    ...{ socket, early: true },
    ...options,
  });
  await settled(server, 1);
  return server;
}

/** Which workers answer new connections at the port. */
async function answering(port: number): Promise<Set<number>> {
  const answers = await Promise.all(Array.from({ length: 50 }, () => fetchFrom({ port }, '/pid')));
  return new Set(answers.map(({ body }) => Number(body)));
}

describe('--reuse-port', { skip: !canShare && 'needs Linux and Node 22.12' }, () => {
  it('lets two servers serve one port, each of which may go', async (t) => {
    const port = await freePort();
    const [one, other] = [await start(t, port), await start(t, port)];
    assert.deepEqual(await answering(port), new Set([...one.workers(), ...other.workers()]));
    assert.equal(await one.stop(), 0);
    assert.deepEqual(await answering(port), new Set(other.workers()));
  });

  it('is needed on both sides', async (t) => {
    const port = await freePort();
    const args = ['-b', `127.0.0.1:${port}`, app('echo.mjs')];
    await start(t, port);
    const without = await fasticorn(t, args);
    assert.equal(without.code, 1);
    assert.match(without.stderr, /: the port is taken; stop who has it, or choose another \(EADDRINUSE\)\n$/);
    const alone = await freePort();
    await start(t, alone, []);
    const late = await fasticorn(t, ['--reuse-port', '-b', `127.0.0.1:${alone}`, app('echo.mjs')]);
    assert.equal(late.code, 1);
    assert.match(
      late.stderr,
      /: the port is taken by another user, or by a server that does not share it \(EADDRINUSE\)\n$/,
    );
  });

  it('loses nothing when one of two servers is reloaded or upgraded under load', async (t) => {
    const lineage = new Lineage(t);
    const port = await freePort();
    const quiet = ['--reuse-port', '--access-logfile', 'off'];
    await start(t, port, quiet);
    const control = controlOf(await start(t, port, quiet, { env: lineage.env }));
    const enough = new AbortController();
    const running = load({ to: { port }, connections: 16, signal: enough.signal });
    try {
      for (const verb of ['reload', 'upgrade']) {
        const { code, stderr } = await fasticorn(t, [verb, '--control-socket', control], { cwd: '/' });
        assert.equal(code, 0, stderr);
      }
    } finally {
      enough.abort();
    }
    const { good, bad, refused } = await running;
    assert.deepEqual([bad, refused], [[], 0]);
    assert(good > 100);
    assert.equal((await fasticorn(t, ['stop', '--control-socket', control], { cwd: '/' })).code, 0);
  });

  it('loses at most those who connect at the very end when one of two servers is stopped', async (t) => {
    const port = await freePort();
    const [one] = [await start(t, port), await start(t, port)];
    const running = load({ to: { port }, connections: 16, count: 3000 });
    await until(() => one.accessLog().length > 100, 'the load to be under way');
    assert.equal(await one.stop(), 0);
    const { sent, good, bad, refused } = await running;
    // They are reset with the queue that the kernel has put them into.
    t.diagnostic(`${sent} requests, ${bad.length} lost`);
    assert.equal(refused, 0);
    assert(bad.length <= 16, bad.slice(0, 5).join());
    assert.equal(good + bad.length, sent);
  });

  it('serves IPv6 as well', { skip: !hasIPv6() && 'needs IPv6' }, async (t) => {
    const port = await freePort();
    await Promise.all([1, 2].map(() => start(t, port, ['--reuse-port'], { host: '[::1]' })));
    assert.equal((await fetchFrom({ port }, '/', { host: '::1' })).body, 'hello');
  });
});

describe('--reuse-port', () => {
  it('is refused where Node does not pass it on', { skip: canShare && 'needs Node 20' }, async (t) => {
    const args = ['--reuse-port', '-b', '127.0.0.1:0', app('echo.mjs')];
    for (const more of [[], ['--check-config']]) {
      const { code, stderr } = await fasticorn(t, [...more, ...args]);
      assert.equal(code, 1);
      assert.equal(
        stderr,
        `fasticorn: --reuse-port takes Node 22.12 or newer, this is ${process.versions.node}\n`,
      );
    }
  });

  it('is refused where there is no port', async (t) => {
    const given = await fasticorn(t, ['--reuse-port', '-b', 'unix:@a,fd://3', 'app.mjs']);
    assert.equal(given.code, 1);
    assert.match(
      given.stderr,
      /expected a TCP port to bind, but -b is "unix:@a,fd:\/\/3"; drop one of them\n$/,
    );
    const directory = temporaryDirectory(t);
    writeFileSync(join(directory, 'fasticorn.config.json'), '{ "reusePort": true }');
    const byDefault = await fasticorn(t, ['app.mjs'], { cwd: directory });
    assert.equal(byDefault.code, 1);
    assert.match(
      byDefault.stderr,
      /fasticorn\.config\.json:1: reusePort: true is not valid: .*--bind is unix:\/tmp\/app\.sock unless it is given/,
    );
  });
});
