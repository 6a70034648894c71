/**
 * Upgrades under load: no request is lost, whichever way it comes. ROUNDS says how many upgrades there are.
 */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn } from './support/command.ts';
import { controlOf } from './support/control.ts';
import { startOnPort, type Target } from './support/http.ts';
import { Lineage } from './support/lineage.ts';
import { load } from './support/load.ts';
import { need } from './support/need.ts';
import { startNginx } from './support/nginx.ts';
import { app, startServer, until } from './support/server.ts';

const ROUNDS = Number(process.env.ROUNDS ?? 3);
const CONNECTIONS = 64;

/** Upgrades one time after the other under load, and checks that every answer was right. */
async function upgradeUnderLoad(
  t: TestContext,
  { lineage, control, to, keepAlive = true }: Started & { to: Target; keepAlive?: boolean },
): Promise<void> {
  const enough = new AbortController();
  const running = load({
    ...{ to, connections: CONNECTIONS, keepAlive, signal: enough.signal },
    ...{ seconds: 60 + ROUNDS * 15, count: 100_000 * ROUNDS },
  });
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const { code, stderr } = await fasticorn(t, ['upgrade', '--control-socket', control], { cwd: '/' });
      assert.equal(code, 0, stderr);
    }
    // Also while the last one drains.
    await until(() => lineage.arbiters().length === 1, 'the old arbiters to be gone', 40);
  } finally {
    enough.abort();
  }
  const { sent, good, bad, refused } = await running;
  t.diagnostic(`${ROUNDS} upgrades: ${sent} requests sent, ${sent - good} lost`);
  assert.deepEqual([bad.slice(0, 5), bad.length, refused], [[], 0, 0]);
  assert.ok(good > 100 * ROUNDS, `only ${good} requests`);
  const stop = await fasticorn(t, ['stop', '--control-socket', control], { cwd: '/' });
  assert.equal(stop.code, 0, stop.stderr);
}

interface Started {
  lineage: Lineage;
  control: string;
}

async function start(t: TestContext): Promise<Started & { socket: string }> {
  const lineage = new Lineage(t);
  const { socket } = await startServer(t, app('echo.mjs'), ['--access-logfile', 'off'], { env: lineage.env });
  return { lineage, socket, control: `${socket}.ctl` };
}

describe(`${ROUNDS} upgrades with ${CONNECTIONS} connections of GETs and POSTs lose nothing`, () => {
  it('straight to the Unix socket, on connections that are used again', async (t) => {
    const { socket, ...started } = await start(t);
    await upgradeUnderLoad(t, { ...started, to: { socketPath: socket } });
  });

  it('straight to the Unix socket, with a connection for each request', async (t) => {
    const { socket, ...started } = await start(t);
    await upgradeUnderLoad(t, { ...started, to: { socketPath: socket }, keepAlive: false });
  });

  it('straight to a TCP port', async (t) => {
    const lineage = new Lineage(t);
    const { server, target } = await startOnPort(t, app('echo.mjs'), ['--access-logfile', 'off'], {
      env: lineage.env,
    });
    await upgradeUnderLoad(t, { lineage, control: controlOf(server), to: target });
  });
});

describe(`${ROUNDS} upgrades behind nginx lose nothing`, need('nginx'), () => {
  for (const [connection, how] of [
    ['pool', 'which keeps a pool of connections'],
    ['close', 'which opens a connection for each request'],
  ] as const) {
    it(how, async (t) => {
      const { socket, ...started } = await start(t);
      const nginx = await startNginx({ socket, connection });
      t.after(() => nginx.stop());
      await upgradeUnderLoad(t, { ...started, to: { port: nginx.port } });
      assert.doesNotMatch(await nginx.errorLog(), /reset by peer|prematurely closed|upstream timed out/);
    });
  }
});
