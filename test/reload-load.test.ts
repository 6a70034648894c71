/**
 * Reloads under load: no request is lost, whichever way it comes. ROUNDS says how many reloads there are.
 */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn } from './support/command.ts';
import { controlOf } from './support/control.ts';
import { startOnPort, type Target } from './support/http.ts';
import { load } from './support/load.ts';
import { need } from './support/need.ts';
import { startNginx } from './support/nginx.ts';
import { app, type Server, startServer } from './support/server.ts';

const ROUNDS = Number(process.env.ROUNDS ?? 3);
const CONNECTIONS = 64;

/** Reloads one time after the other under load, and checks that every answer was right. */
async function reloadUnderLoad(
  t: TestContext,
  server: Server,
  to: Target,
  { keepAlive = true } = {},
): Promise<void> {
  const enough = new AbortController();
  const running = load({
    ...{ to, connections: CONNECTIONS, keepAlive, signal: enough.signal },
    ...{ seconds: 60 + ROUNDS * 10, count: 100_000 * ROUNDS },
  });
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const { code, stderr } = await fasticorn(t, ['reload', '--control-socket', controlOf(server)], {
        cwd: '/',
      });
      assert.equal(code, 0, stderr);
    }
  } finally {
    enough.abort();
  }
  const { sent, good, bad, refused } = await running;
  t.diagnostic(`${ROUNDS} reloads: ${sent} requests sent, ${sent - good} lost`);
  assert.deepEqual([bad.slice(0, 5), bad.length, refused], [[], 0, 0]);
  assert.ok(good > 100 * ROUNDS, `only ${good} requests`);
  assert.equal(await server.stop(), 0);
}

const start = (t: TestContext) => startServer(t, app('echo.mjs'), ['--access-logfile', 'off']);

describe(`${ROUNDS} reloads with ${CONNECTIONS} connections of GETs and POSTs lose nothing`, () => {
  it('straight to the Unix socket, on connections that are used again', async (t) => {
    const server = await start(t);
    await reloadUnderLoad(t, server, { socketPath: server.socket });
  });

  it('straight to the Unix socket, with a connection for each request', async (t) => {
    const server = await start(t);
    await reloadUnderLoad(t, server, { socketPath: server.socket }, { keepAlive: false });
  });

  it('straight to a TCP port', async (t) => {
    const { server, target } = await startOnPort(t, app('echo.mjs'), ['--access-logfile', 'off']);
    await reloadUnderLoad(t, server, target);
  });
});

describe(`${ROUNDS} reloads behind nginx lose nothing`, need('nginx'), () => {
  for (const [connection, how] of [
    ['pool', 'which keeps a pool of connections'],
    ['close', 'which opens a connection for each request'],
  ] as const) {
    it(how, async (t) => {
      const server = await start(t);
      const nginx = await startNginx({ socket: server.socket, connection });
      t.after(() => nginx.stop());
      await reloadUnderLoad(t, server, { port: nginx.port });
      assert.doesNotMatch(await nginx.errorLog(), /reset by peer|prematurely closed|upstream timed out/);
    });
  }
});
