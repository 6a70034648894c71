/**
 * `--inspect`: a debugger reaches the worker, and nobody takes a worker for stuck that it has stopped.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { answers, develop } from './support/development.ts';
import { fetchFrom } from './support/http.ts';
import { freePort } from './support/port.ts';
import { until } from './support/server.ts';
import { versionApp } from './support/site.ts';

/** A debugger that is attached at a port. */
async function attach(t: TestContext, port: number) {
  let target: { webSocketDebuggerUrl: string } | undefined;
  // A process that is dying may still take a connection.
  const ask = async () => (await fetchFrom({ port }, '/json/list')).json<(typeof target)[]>();
  await until(async () => {
    [target] = await ask().catch(() => []);
    return target;
  }, `an inspector on port ${port}`);
  const socket = new WebSocket(target!.webSocketDebuggerUrl);
  t.after(() => socket.terminate());
  const closed = once(socket, 'close');
  await once(socket, 'open');
  let paused = false;
  let value: unknown;
  socket.on('message', (text) => {
    const { method, result } = JSON.parse(String(text));
    if (method === 'Debugger.paused') paused = true;
    if (result?.result) value = result.result.value;
  });
  const send = (method: string, params = {}) => socket.send(JSON.stringify({ id: 1, method, params }));
  return {
    closed,
    /** The process that it is attached to. */
    async pid() {
      send('Runtime.evaluate', { expression: 'process.pid' });
      await until(() => value !== undefined, 'the pid');
      return value;
    },
    /** Stops the worker as a breakpoint does. */
    async pause() {
      send('Debugger.enable');
      send('Debugger.pause');
      await until(() => paused, 'the worker to be stopped');
    },
  };
}

describe('--inspect', () => {
  it('reaches the worker, and after a reload the new one at the same port', async (t) => {
    const port = await freePort();
    const { site } = await develop(t, { 'app.mjs': versionApp('1') }, { args: [`--inspect=${port}`] });
    for (const version of ['2', '3']) {
      const session = await attach(t, port);
      assert.deepEqual(await site.ready(), [await session.pid()]);
      site.deploy(version);
      await answers(site, version);
      await session.closed;
    }
  });

  it('leaves a worker alone that is stopped in a debugger, until its code has changed', async (t) => {
    const port = await freePort();
    const { site, server } = await develop(
      t,
      { 'app.mjs': versionApp('1') },
      { args: [`--inspect=${port}`, '--graceful-timeout', '1'] },
    );
    const session = await attach(t, port);
    const before = await session.pid();
    await session.pause();
    await until(async () => (await site.status()).workers[0]!.silent! > 2, 'it to be silent');
    assert.deepEqual(server.workers(), [before]);
    site.deploy('2');
    await answers(site, '2');
    await session.closed;
    assert.notEqual(await (await attach(t, port)).pid(), before);
  });

  it('gives each of several workers a port of its own', async (t) => {
    const port = await freePort();
    const { site } = await develop(
      t,
      { 'app.mjs': versionApp('1') },
      { args: [`--inspect=${port}`, '-w', '2'] },
    );
    const pids = [await (await attach(t, port)).pid(), await (await attach(t, port + 1)).pid()];
    assert.deepEqual(pids.toSorted(), (await site.ready()).toSorted());
  });

  it('ends with SIGINT, also with a worker that is stopped', async (t) => {
    const port = await freePort();
    const { server } = await develop(t, { 'app.mjs': versionApp('1') }, { args: [`--inspect=${port}`] });
    await (await attach(t, port)).pause();
    server.kill('SIGINT');
    assert.equal((await server.exited).code, 0);
  });
});
