/**
 * More workers and fewer: by signal, on the command line, over the control socket; and nothing is lost by it.
 */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn } from './support/command.ts';
import { order, settled, statusOf } from './support/control.ts';
import { load } from './support/load.ts';
import { need } from './support/need.ts';
import { startNginx } from './support/nginx.ts';
import { RawConnection } from './support/raw.ts';
import { app, isRunning, type Server, startServer, until } from './support/server.ts';

/** How often the number of workers goes up and down under load. */
const ROUNDS = Number(process.env.ROUNDS ?? 2);

const ways: Record<string, (t: TestContext, server: Server, by: string) => Promise<void>> = {
  async 'a signal'(_t, server, by) {
    server.kill(by === '+1' ? 'SIGTTIN' : 'SIGTTOU');
  },
  async 'the command line'(t, server, by) {
    const { code, stdout, stderr } = await fasticorn(t, ['scale', by, '-b', `unix:${server.socket}`]);
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^\d workers? wanted, instead of \d\n$/);
  },
  async 'the control socket'(_t, server, by) {
    const { status, json } = await order(server, `/scale/${by}`);
    assert.deepEqual([status, json().ok], [200, true]);
  },
};

for (const [way, scale] of Object.entries(ways)) {
  describe(`Scaling by ${way}`, () => {
    it('starts one more worker and lets one go, those that stay being the same; never below one', async (t) => {
      const server = await startServer(t, app('echo.mjs'), ['-w', '2']);
      await settled(server, 2);
      const [first, second] = (await statusOf(server)).workers.map(({ pid }) => pid!);
      await scale(t, server, '+1');
      await settled(server, 3);
      assert.deepEqual(
        (await statusOf(server)).workers.slice(0, 2).map(({ pid }) => pid),
        [first, second],
      );
      assert.equal((await statusOf(server)).wanted, 3);
      for (const wanted of [2, 1, 1]) {
        await scale(t, server, '-1');
        // Two signals of one kind at once are one.
        await until(async () => (await statusOf(server)).wanted === wanted, `${wanted} to be wanted`);
      }
      await settled(server, 1);
      assert.deepEqual((await statusOf(server)).workers[0]!.pid, first);
      assert.equal((await statusOf(server)).wanted, 1);
      assert.equal(server.log().filter(({ level }) => level > 30).length, 0);
      assert.equal(await server.stop(), 0);
    });
  });
}

describe('Scaling to a number', () => {
  it('has so many workers, and at least one', async (t) => {
    const server = await startServer(t, app('echo.mjs'), ['-w', '1']);
    for (const [asked, wanted] of [
      ['3', 3],
      ['0', 1],
      ['2', 2],
    ] as const) {
      const { code, stderr } = await fasticorn(t, ['scale', asked, '-b', `unix:${server.socket}`]);
      assert.deepEqual([code, stderr], [0, '']);
      await settled(server, wanted);
    }
    assert.equal(await server.stop(), 0);
  });

  it('takes nothing else', async (t) => {
    const server = await startServer(t, app('echo.mjs'), ['-w', '1']);
    await settled(server, 1);
    for (const wrong of ['', '/x', '/1.5', '/--1', '/12345', '/1/2'])
      assert.ok([400, 404].includes((await order(server, `/scale${wrong}`)).status), wrong);
    const { code, stderr } = await fasticorn(t, ['scale', 'many', '-b', `unix:${server.socket}`]);
    assert.equal(code, 1);
    assert.match(stderr, /^fasticorn: scale: "many" is not valid: expected N.*\n$/);
    assert.equal((await statusOf(server)).wanted, 1);
    assert.equal(await server.stop(), 0);
  });
});

describe('A worker that is not wanted any more', () => {
  it('finishes what it has begun, and answers what comes on an idle connection as the last', async (t) => {
    const server = await startServer(t, app('echo.mjs'), ['-w', '2']);
    await settled(server, 2);
    const leaving = (await statusOf(server)).workers[1]!.pid!;
    const connections = [];
    let [slow, idle]: (RawConnection | undefined)[] = [];
    while (!slow || !idle) {
      const connection = await RawConnection.open(server.socket);
      connections.push(connection);
      connection.get('/pid');
      await until(() => connection.answers === 1, 'the answer');
      if (!connection.received.endsWith(`\r\n${leaving}`)) continue;
      if (slow) idle = connection;
      else slow = connection;
    }
    slow.get('/token/slow?delay=1500');
    await until(
      async () =>
        (await statusOf(server)).workers.some(({ pid, inFlight }) => pid === leaving && inFlight === 1),
      'the request to be in flight',
    );
    await order(server, '/scale/-1');
    await until(
      async () =>
        (await statusOf(server)).workers.some(({ pid, phase }) => pid === leaving && phase === 'retiring'),
      'the worker to retire',
    );
    for (let sent = 2; !/connection: close/i.test(idle.received); sent++) {
      idle.get('/pid');
      await until(() => idle.answers === sent, 'the answer');
    }
    await until(() => slow.answers === 2, 'the slow answer');
    assert.match(slow.received, /connection: close\r\n\r\ntoken slow$/i);
    await until(() => !isRunning(leaving), 'the worker to go');
    assert.ok(connections.every(({ error }) => error === undefined));
    assert.equal(server.log().filter(({ level }) => level > 30).length, 0);
    assert.equal(await server.stop(), 0);
  });
});

describe('Scaling up and down under load', () => {
  const upAndDown = async (server: Server) => {
    await settled(server, 2);
    for (let round = 0; round < ROUNDS; round++) {
      for (const count of [4, 1, 3, 2]) {
        await order(server, `/scale/${count}`);
        await until(async () => {
          const { workers } = await statusOf(server);
          return workers.filter(({ phase }) => phase === 'ready').length === count;
        }, `${count} workers`);
      }
    }
  };

  for (const connection of ['pool', 'close'] as const) {
    it(`loses nothing through nginx (${connection})`, need('nginx'), async (t) => {
      const server = await startServer(t, app('echo.mjs'), ['-w', '2', '--access-logfile', 'off']);
      const nginx = await startNginx({ socket: server.socket, connection });
      t.after(() => nginx.stop());
      const enough = new AbortController();
      const running = load({
        to: { port: nginx.port },
        connections: 32,
        seconds: 300,
        signal: enough.signal,
      });
      await upAndDown(server).finally(() => enough.abort());
      const { sent, bad, refused } = await running;
      t.diagnostic(`${sent} requests through nginx (${connection}), ${bad.length} lost`);
      assert.deepEqual(bad, []);
      assert.equal(refused, 0);
      assert.equal(await nginx.errorLog(), '');
      assert.equal(await server.stop(), 0);
    });
  }

  it('loses nothing straight on the socket', async (t) => {
    const server = await startServer(t, app('echo.mjs'), ['-w', '2', '--access-logfile', 'off']);
    const enough = new AbortController();
    const running = load({
      to: { socketPath: server.socket },
      keepAlive: false,
      connections: 32,
      seconds: 300,
      signal: enough.signal,
    });
    await upAndDown(server).finally(() => enough.abort());
    const { sent, bad, refused } = await running;
    t.diagnostic(`${sent} requests straight, ${bad.length} lost`);
    assert.deepEqual([bad, refused], [[], 0]);
    assert.equal(await server.stop(), 0);
  });
});
