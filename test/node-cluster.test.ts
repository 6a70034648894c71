/**
 * What is usual without us, for comparison: workers of node:cluster that close their Fastify on SIGTERM, restarted one
 * after the other. Under the load that our reloads stand it loses POSTs, as it closes connections that nginx is using.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn } from './support/command.ts';
import { type LoadResult, load } from './support/load.ts';
import { need } from './support/need.ts';
import { startNginx } from './support/nginx.ts';
import { app, startServer, temporaryDirectory, until } from './support/server.ts';

const ROUNDS = Number(process.env.ROUNDS ?? 2);

/** Restarts so many times behind nginx with a pool, under a load of POSTs. */
async function underLoad(t: TestContext, socket: string, restart: () => Promise<void>): Promise<LoadResult> {
  const nginx = await startNginx({ socket });
  t.after(() => nginx.stop());
  const enough = new AbortController();
  const running = load({
    ...{ to: { port: nginx.port }, connections: 32, methods: ['POST'], signal: enough.signal },
    seconds: 60 + 10 * ROUNDS,
  });
  try {
    for (let round = 0; round < ROUNDS; round++) await restart();
  } finally {
    enough.abort();
  }
  // Requests that are still not answered would keep us for a minute, nginx's patience.
  const timer = setTimeout(() => void nginx.stop(), 5_000);
  return running.finally(() => clearTimeout(timer));
}

/** A rolling restart of node:cluster: each worker is replaced by one that listens before it is told to go. */
async function startCluster(t: TestContext): Promise<{ socket: string; restart(): Promise<void> }> {
  const socket = join(temporaryDirectory(t), 'app.sock');
  const child = spawn(process.execPath, [app('node-cluster.mjs'), socket, app('echo.mjs')], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'message');
  await until(() => existsSync(socket), 'the socket');
  chmodSync(socket, 0o666);
  return {
    socket,
    async restart() {
      child.send('restart');
      await once(child, 'message');
    },
  };
}

describe(`${ROUNDS} restarts under a load of POSTs through nginx with a pool`, need('nginx'), () => {
  it('lose none with fasticorn', async (t) => {
    const server = await startServer(t, app('echo.mjs'), ['--access-logfile', 'off']);
    const { sent, bad } = await underLoad(t, server.socket, async () => {
      const { code, stderr } = await fasticorn(t, ['reload', '--control-socket', `${server.socket}.ctl`]);
      assert.equal(code, 0, stderr);
    });
    t.diagnostic(`fasticorn: ${sent} POSTs sent, ${bad.length} lost`);
    assert.deepEqual(bad, []);
  });

  it('lose some with node:cluster and fastify.close() on SIGTERM', async (t) => {
    const { socket, restart } = await startCluster(t);
    let sent = 0;
    let bad: string[] = [];
    // A busy machine may have no request come in the wrong moment.
    for (let attempt = 0; attempt < 5 && bad.length === 0; attempt++) {
      const result = await underLoad(t, socket, restart);
      sent += result.sent;
      ({ bad } = result);
    }
    t.diagnostic(`node:cluster: ${sent} POSTs sent, ${bad.length} lost, such as ${bad[0]}`);
    assert.ok(bad.length > 0);
  });
});
