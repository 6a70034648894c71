/**
 * A pause: no worker, but the socket stays and requests wait in it, until whatever ends the pause or the server.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn } from './support/command.ts';
import { look, order, readyWorkers, reloaded, settled, statusOf } from './support/control.ts';
import { fetchFrom } from './support/http.ts';
import { load } from './support/load.ts';
import { need } from './support/need.ts';
import { startNginx } from './support/nginx.ts';
import { RawConnection } from './support/raw.ts';
import { app, CLI, type Server, startServer, temporaryDirectory, until } from './support/server.ts';

const WAITING = 20;

/** A paused server of two workers, and requests that wait for the pause to end. */
async function paused(t: TestContext, pause = (server: Server) => void server.kill('SIGWINCH')) {
  const server = await startServer(t, app('lifecycle.mjs'), ['-w', '2'], { env: { MARKS: '/dev/null' } });
  await settled(server, 2);
  await pause(server);
  await until(() => server.workers().length === 0, 'all workers to go');
  assert.equal(existsSync(server.socket), true);
  const waiting = await Promise.all(Array.from({ length: WAITING }, () => RawConnection.open(server.socket)));
  for (const [n, connection] of waiting.entries()) {
    if (n % 2) connection.post('/body', `body ${n}`);
    else connection.get('/');
  }
  const answered = () => waiting.filter(({ answers }) => answers === 1).length;
  const right = () =>
    waiting.every(({ received }, n) => received.endsWith(n % 2 ? `\r\n\r\nbody ${n}` : '\r\n\r\nhello'));
  /** Waits for all answers, and hangs up: nothing else keeps the server from ending at once. */
  const allAnswered = async () => {
    await until(() => answered() === WAITING, 'the answers');
    assert.ok(right());
    for (const connection of waiting) connection.close();
  };
  return { server, answered, right, allAnswered };
}

describe('A pause', () => {
  const ends: Record<string, (t: TestContext, server: Server) => unknown> = {
    HUP: (_t, server) => server.kill('SIGHUP'),
    TTIN: (_t, server) => server.kill('SIGTTIN'),
    'POST /resume': async (_t, server) => assert.equal((await order(server, '/resume')).status, 200),
    'fasticorn resume': async (t, server) =>
      assert.equal((await fasticorn(t, ['resume', '-b', `unix:${server.socket}`])).code, 0),
    'fasticorn reload': async (t, server) =>
      assert.equal((await fasticorn(t, ['reload', '-b', `unix:${server.socket}`])).code, 0),
    'scaling to as many as before': async (_t, server) => order(server, '/scale/2'),
  };
  for (const [what, end] of Object.entries(ends)) {
    it(`ends with ${what}, and every request that waited is answered`, async (t) => {
      const { server, answered, allAnswered } = await paused(t);
      assert.equal(answered(), 0);
      await end(t, server);
      await allAnswered();
      await settled(server, what === 'TTIN' ? 3 : 2);
      assert.equal((await statusOf(server)).arbiter.phase, 'serving');
      assert.equal((await look(server, '/readyz')).status, 200);
      assert.equal(server.log().filter(({ level }) => level > 30).length, 0);
      assert.equal(await server.stop(), 0);
    });
  }

  const begins: Record<string, (t: TestContext) => (server: Server) => unknown> = {
    'POST /pause': () => (server) => order(server, '/pause'),
    'fasticorn pause': (t) => (server) => fasticorn(t, ['pause', '-b', `unix:${server.socket}`]),
  };
  for (const [what, begin] of Object.entries(begins)) {
    it(`begins with ${what} too, and a second one changes nothing`, async (t) => {
      const { server, allAnswered } = await paused(t, begin(t) as (server: Server) => undefined);
      assert.equal((await order(server, '/pause')).status, 200);
      assert.equal((await statusOf(server)).arbiter.phase, 'paused');
      await order(server, '/resume');
      await allAnswered();
      assert.equal(await server.stop(), 0);
    });
  }

  it('is not ended by fewer workers', async (t) => {
    const { server, allAnswered } = await paused(t);
    server.kill('SIGTTOU');
    await until(async () => (await statusOf(server)).wanted === 1, 'the arbiter to have acted on it');
    assert.equal((await statusOf(server)).arbiter.phase, 'paused');
    assert.deepEqual(server.workers(), []);
    await order(server, '/resume');
    await allAnswered();
    await settled(server, 1);
    assert.equal(await server.stop(), 0);
  });

  it('is told to probes and people', need('ss'), async (t) => {
    const { server, allAnswered } = await paused(t);
    assert.equal((await look(server, '/readyz')).status, 503);
    assert.equal((await look(server, '/healthz')).status, 503);
    assert.equal((await look(server, '/readyz')).json().reason, 'paused');
    const { arbiter, workers, sockets } = await statusOf(server);
    assert.deepEqual([arbiter.phase, workers, sockets[0]!.queue], ['paused', [], WAITING]);
    const { code, stdout, stderr } = await fasticorn(t, ['status', '-b', `unix:${server.socket}`]);
    assert.equal(code, 1);
    assert.match(stdout, /paused/);
    assert.match(stderr, /^fasticorn: not healthy: paused\n$/);
    await order(server, '/resume');
    await allAnswered();
    assert.equal(await server.stop(), 0);
  });

  it('lets requests in flight finish', async (t) => {
    const server = await startServer(t, app('echo.mjs'), ['-w', '1']);
    await settled(server, 1);
    const slow = fetchFrom({ socketPath: server.socket }, '/token/slow?delay=1500');
    await until(async () => (await statusOf(server)).workers[0]?.inFlight === 1, 'the request');
    await order(server, '/pause');
    assert.equal((await slow).body, 'token slow');
    await until(() => server.workers().length === 0, 'the worker to go');
    assert.equal(await server.stop(), 0);
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`may be followed by ${signal}, which exits with 0 and leaves nothing behind`, async (t) => {
      const { server, answered, right } = await paused(t);
      server.kill(signal);
      assert.deepEqual(await server.exited, { code: 0, signal: null });
      // A quick stop gives those who wait nothing.
      if (signal === 'SIGTERM') assert.deepEqual([answered(), right()], [WAITING, true]);
      assert.equal(existsSync(server.socket), false);
      assert.equal(existsSync(`${server.socket}.ctl`), false);
    });
  }

  it('is refused while the first workers boot, as there is no socket yet where requests could wait', async (t) => {
    const go = join(temporaryDirectory(t), 'go');
    const server = await startServer(t, app('start/slow-boot.mjs'), ['-w', '2'], {
      ...{ env: { GO: go }, early: true },
    });
    await until(() => server.workers().length === 2, 'workers that boot');
    server.kill('SIGWINCH');
    const loud = () => server.log().filter(({ level }) => level > 30);
    await until(() => loud().length > 0, 'the refusal');
    assert.match(loud()[0]!.msg, /still starting.*cannot be paused/);
    assert.equal(existsSync(server.socket), false);
    writeFileSync(go, '');
    await settled(server, 2);
    assert.equal((await statusOf(server)).arbiter.phase, 'serving');
    assert.equal((await fetchFrom({ socketPath: server.socket }, '/')).body, 'hello');
    assert.deepEqual(
      loud().map(({ level }) => level),
      [40],
    );
    server.kill('SIGHUP');
    await reloaded(server, 2);
    assert.equal(await server.stop(), 0);
  });

  it('loses nothing under load through nginx', need('nginx', 'ss'), async (t) => {
    const server = await startServer(t, app('echo.mjs'), ['-w', '2', '--access-logfile', 'off']);
    await settled(server, 2);
    const nginx = await startNginx({ socket: server.socket });
    t.after(() => nginx.stop());
    const enough = new AbortController();
    const running = load({ to: { port: nginx.port }, connections: 32, seconds: 200, signal: enough.signal });
    try {
      for (let round = 0; round < Number(process.env.ROUNDS ?? 2); round++) {
        await order(server, '/pause');
        await until(async () => (await readyWorkers(server)).length === 0, 'a pause');
        await until(async () => (await statusOf(server)).sockets[0]!.queue! > 0, 'requests that wait');
        await order(server, '/resume');
        await until(async () => (await readyWorkers(server)).length === 2, 'the workers to be back');
      }
    } finally {
      enough.abort();
    }
    const { sent, bad, refused } = await running;
    t.diagnostic(`${sent} requests, ${bad.length} lost`);
    assert.deepEqual([bad, refused], [[], 0]);
    assert.equal(await server.stop(), 0);
  });
});

describe('On a terminal', need('script'), () => {
  it('SIGWINCH means nothing, as resizing sends it; the control socket pauses', async (t) => {
    const socket = join(temporaryDirectory(t), 'app.sock');
    const command = `exec ${process.execPath} ${CLI} -w 1 -b unix:${socket} ${app('plain.mjs')}`;
    const terminal = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'ignore', 'ignore'] });
    t.after(() => terminal.kill('SIGKILL'));
    await until(() => existsSync(`${socket}.ctl`), 'the control socket');
    await settled({ socket }, 1);
    const { arbiter, workers } = await statusOf({ socket });
    t.after(() => {
      for (const pid of [arbiter.pid, workers[0]!.pid!]) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {}
      }
    });
    process.kill(arbiter.pid, 'SIGWINCH');
    // Signals come before what is asked later; each of these takes the arbiter a turn of its loop.
    for (let turn = 0; turn < 3; turn++) {
      const now = await statusOf({ socket });
      assert.deepEqual([now.arbiter.phase, now.workers[0]!.pid], ['serving', workers[0]!.pid]);
    }
    assert.equal((await order({ socket }, '/pause')).status, 200);
    await until(async () => (await statusOf({ socket })).workers.length === 0, 'the worker to go');
    assert.equal((await order({ socket }, '/stop')).status, 200);
    await until(() => terminal.exitCode !== null || terminal.signalCode !== null, 'the end');
    assert.equal(terminal.exitCode, 0);
  });
});
