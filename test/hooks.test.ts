/**
 * What the hooks of the config file are told, and in which order.
 */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fasticorn } from './support/command.ts';
import { errorsOf, hostsOf, NOTE, type Noted, noting, scene, workersOf } from './support/hooks.ts';
import { fetchFrom } from './support/http.ts';
import { childrenOf } from './support/processes.ts';
import { app, until } from './support/server.ts';

describe('the hooks of a config file', () => {
  it('are told in order what happens', async (t) => {
    const { start, noted } = scene(t, noting());
    const server = await start();
    await until(() => noted('whenReady').length === 1, 'whenReady');
    const [starting, ready, reached] = noted() as [Noted, Noted, Noted];
    assert.deepEqual([starting.type, ready.type, reached.type], ['onStarting', 'workerReady', 'whenReady']);
    const { time, host, ...rest } = starting;
    assert.equal(new Date(time).toISOString(), time);
    assert.deepEqual([host], hostsOf(server));
    const address = `unix:${server.socket}`;
    assert.deepEqual(rest, {
      ...{ type: 'onStarting', pid: server.pid, version: '0.1.0', app: app('echo.mjs') },
      ...{ addresses: [address], workers: 1 },
    });
    assert.ok(ready.type === 'workerReady' && ready.took > 0);
    assert.deepEqual([ready.worker, ready.generation, ready.pid], [1, 1, workersOf(server)[0]]);
    assert.ok(reached.type === 'whenReady' && reached.took >= ready.took);
    assert.deepEqual([reached.pid, reached.addresses], [server.pid, [address]]);

    process.kill(workersOf(server)[0]!, 'SIGKILL');
    await until(() => noted('workerReady').length === 2, 'another worker');
    server.kill('SIGHUP');
    await until(() => noted('onReload').length === 1, 'the reload');
    assert.equal(await server.stop(), 0);
    assert.deepEqual(
      noted()
        .map(({ type, time: _, host: __, pid: ___, took: ____, ...event }) => [type, event])
        .slice(3),
      [
        [
          'workerExit',
          {
            ...{ worker: 1, generation: 1, code: null, signal: 'SIGKILL', expected: false },
            reason: 'died: it was ended by SIGKILL, perhaps because memory ran out',
          },
        ],
        ['workerReady', { worker: 1, generation: 1 }],
        ['workerReady', { worker: 1, generation: 2 }],
        ...[...noted('onReload')].map(({ message }) => ['onReload', { ok: true, generation: 2, message }]),
        ['workerExit', { ...clean, generation: 1 }],
        ['workerExit', { ...clean, generation: 2 }],
        ['onExit', { exitCode: 0 }],
      ],
    );
    assert.match(String(noted('onReload')[0]!.message), /^generation 2 serves with 1 worker/);
    const exit = noted('workerExit')[0]!;
    assert.equal(exit.type === 'workerExit' && exit.pid, ready.pid);
    assert.deepEqual(errorsOf(server).length, 1);
  });
  const clean = {
    ...{ worker: 1, code: 0, signal: null, expected: true, reason: 'ended as it was told' },
  };

  it('are told what a stuck worker does, before it is killed', async (t) => {
    const { start, noted } = scene(t, noting());
    const server = await start(['--timeout', '1'], 'stuck.mjs');
    await until(() => noted('whenReady').length === 1, 'whenReady');
    const [pid] = workersOf(server);
    void fetchFrom({ socketPath: server.socket }, '/spin').catch(() => {});
    await until(() => noted('workerExit').length === 1, 'the worker to be killed');
    const [stuck, exit] = noted().slice(3) as [Noted, Noted];
    assert.ok(stuck.type === 'workerStuck' && exit.type === 'workerExit');
    assert.deepEqual([stuck.worker, stuck.generation, stuck.pid, stuck.why], [1, 1, pid, 'timeout']);
    assert.match(stuck.stack!, /^ {4}at spinForEver \(.*stuck\.mjs:/);
    assert.deepEqual(
      stuck.inFlight.map(({ method, url }) => `${method} ${url}`),
      ['GET /spin'],
    );
    assert.ok(stuck.rss! > 1e6);
    assert.deepEqual([exit.pid, exit.signal, exit.expected], [pid, 'SIGKILL', false]);
    assert.match(exit.reason, /--timeout/);
  });

  it('are told how a start that failed has ended', async (t) => {
    const { directory, env, noted } = scene(t, noting());
    const socket = join(directory, 'app.sock');
    const broken = { ...env, BROKEN_IF: directory };
    const args = ['--bind', `unix:${socket}`, app('echo-or-crash.mjs')];
    assert.equal((await fasticorn(t, args, { cwd: directory, env: broken })).code, 4);
    assert.deepEqual(
      noted().map(({ type, exitCode, expected }) => [type, exitCode ?? expected]),
      [
        ['onStarting', undefined],
        ['workerExit', false],
        ['onExit', 4],
      ],
    );
    assert.equal(
      noted('workerExit')[0]!.reason,
      `${app('echo-or-crash.mjs')} failed to start: broken on purpose`,
    );
  });

  it('are told that a worker which met an error of the app was not to end', async (t) => {
    const { start, noted } = scene(t, noting());
    const server = await start([], 'crashing.mjs');
    await until(() => noted('whenReady').length === 1, 'whenReady');
    await fetchFrom({ socketPath: server.socket }, '/uncaught').catch(() => {});
    await until(() => noted('workerExit').length === 1, 'the worker to end');
    const [{ expected, reason }] = noted('workerExit') as [Noted];
    assert.deepEqual([expected, reason], [false, 'met an error that the app did not catch']);
  });

  it('may be none: then there is no process for them', async (t) => {
    const { start } = scene(t, 'export default { onExit: undefined, whenReady: null };');
    const server = await start();
    await until(() => workersOf(server).length === 1, 'a worker');
    assert.equal(childrenOf(server.pid).length, 1);
  });

  it('are not run by --check-config', async (t) => {
    const { directory, env, noted } = scene(t, noting());
    const { code } = await fasticorn(t, ['--check-config', app('echo.mjs')], { cwd: directory, env });
    assert.equal(code, 0);
    assert.deepEqual(noted(), []);
  });

  it('may be in TypeScript, with types', async (t) => {
    const { directory, start, noted } = scene(t, '');
    rmSync(join(directory, 'fasticorn.config.mjs'));
    mkdirSync(join(directory, 'node_modules'));
    const root = fileURLToPath(new URL('..', import.meta.url));
    symlinkSync(root, join(directory, 'node_modules/fasticorn'));
    symlinkSync(join(root, 'node_modules/tsx'), join(directory, 'node_modules/tsx'));
    const text = `
      import { appendFileSync } from 'node:fs';
      import { defineConfig, type ServerEvent } from 'fasticorn';
      const note = (event: ServerEvent) =>
        appendFileSync(process.env.EVENTS as string, JSON.stringify(event) + '\\n');
      interface Unused { line: 6 }
      export default defineConfig({ whenReady() { throw new Error('no'); }, onExit: note });`;
    writeFileSync(join(directory, 'fasticorn.config.mts'), text);
    const server = await start(['-c', 'fasticorn.config.mts']);
    await until(() => errorsOf(server).length === 1, 'the error');
    const [{ err, msg }] = errorsOf(server) as [{ err: Error; msg: string }];
    assert.equal(msg, 'hook whenReady (fasticorn.config.mts): no');
    assert.match(err.stack!, /fasticorn\.config\.mts:7:/);
    assert.equal(await server.stop(), 0);
    assert.equal(noted('onExit').length, 1);
  });

  it('may be made by an async function, and keep what they know from one event to the next', async (t) => {
    const text = `${NOTE}
      export default async () => ({
        count: undefined,
        onStarting() { note({}, { self: typeof this.onExit }); },
        whenReady: async (event) => { await null; counted++; },
        onExit: (event) => note(event, { counted }),
      });
      let counted = 0;`.replace('count: undefined,', '');
    const { start, noted } = scene(t, text);
    const server = await start();
    assert.equal(await server.stop(), 0);
    assert.deepEqual(
      noted().map(({ self, counted }) => self ?? counted),
      ['function', 1],
    );
  });
});
