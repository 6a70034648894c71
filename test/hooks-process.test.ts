/**
 * The process of the hooks: from which file it is, when it ends, and what it takes under load.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  ALL,
  assertServes,
  errorsOf,
  hostsOf,
  NOTE,
  type Noted,
  noting,
  scene,
  workersOf,
} from './support/hooks.ts';
import { Lineage } from './support/lineage.ts';
import { load } from './support/load.ts';
import { app, CLI, interruptAgain, isRunning, Server, until } from './support/server.ts';

describe('when the file of the hooks', () => {
  it('cannot be loaded any more that is reported, and later it is tried again', async (t) => {
    const text = `import { existsSync } from 'node:fs';
      if (existsSync('broken')) throw new Error('not today');
      ${noting('workerExit: () => process.exit()')}`;
    const { directory, start, noted } = scene(t, text);
    const server = await start();
    await until(() => noted('whenReady').length === 1, 'whenReady');
    mkdirSync(join(directory, 'broken'));
    const count = (text: string) => server.log().filter(({ msg }) => msg.includes(text)).length;
    for (const kills of [1, 2]) {
      await until(() => count('is ready') === kills, 'a worker');
      process.kill(workersOf(server)[0]!, 'SIGKILL');
      await until(() => count('the hooks of fasticorn.config.mjs: not today') >= 3 * kills, 'the reports');
      await until(() => count('was not run') >= kills, 'it to be given up');
    }
    await assertServes(server);
    rmSync(join(directory, 'broken'), { recursive: true });
    server.kill('SIGHUP');
    await until(() => noted('onReload').length === 1, 'the reload');
    assert.equal(await server.stop(), 0);
    assert.equal(noted('onExit').length, 1);
  });

  it('has changed, a reload has the new hooks told, and the old process ends', async (t) => {
    const { config, start, noted } = scene(t, noting());
    const server = await start();
    await until(() => noted('whenReady').length === 1, 'whenReady');
    const [before] = hostsOf(server);
    config(`${NOTE} export default { onReload: (event) => note(event, { changed: true }) };`);
    server.kill('SIGHUP');
    await until(() => noted('onReload').length === 1, 'the reload');
    assert.equal(noted('onReload')[0]!.changed, true);
    await until(() => !isRunning(before!) && hostsOf(server).length === 1, 'the old one to end');

    config('export default {};');
    server.kill('SIGHUP');
    await until(() => hostsOf(server).length === 0, 'the hooks to be gone');
    config(noting());
    server.kill('SIGHUP');
    await until(() => noted('onReload').length === 2, 'the hooks to be back');
    assert.equal(await server.stop(), 0);
    assert.deepEqual(errorsOf(server), []);
  });

  it('is broken at a reload everything is as it was, and the hooks are told', async (t) => {
    const { config, start, noted } = scene(t, noting());
    const server = await start();
    await until(() => noted('whenReady').length === 1, 'whenReady');
    const [host] = hostsOf(server);
    const mistakes: [string, RegExp][] = [
      ['export default { onExit: () => {} ', /mjs.*SyntaxError/],
      ['export default { onExit: 5 }', /mjs:1: "onExit" is a number: expected a function, as it is a hook/],
      [
        'export default { onExitt: () => {} }',
        /mjs:1: "onExitt" is a function: did you mean the hook onExit\?/,
      ],
    ];
    for (const [index, [text, message]] of mistakes.entries()) {
      config(text);
      server.kill('SIGHUP');
      await until(() => noted('onReload').length > index, 'the reload');
      const event = noted('onReload')[index]!;
      assert.deepEqual([event.ok, event.generation, event.host], [false, 1, host]);
      assert.match(String(event.message), message);
    }
    assert.deepEqual(hostsOf(server), [host]);
    await assertServes(server);
    assert.equal(await server.stop(), 0);
    assert.equal(noted('onExit').length, 1);
  });
});

describe('the process of the hooks', () => {
  it('outlives an interrupt of the whole group until onExit has run', async (t) => {
    const { directory, env, noted } = scene(t, noting());
    const socket = join(directory, 'app.sock');
    const child = spawn(process.execPath, [CLI, '--bind', `unix:${socket}`, app('echo.mjs')], {
      ...{
        cwd: directory,
        env: { ...process.env, ...env },
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    });
    const server = new Server(child, socket);
    t.after(() => server.cleanUp());
    await until(() => noted('whenReady').length === 1, 'whenReady');
    process.kill(-child.pid!, 'SIGINT');
    assert.equal((await server.exited).code, 0);
    assert.deepEqual(noted('onExit').length, 1);
  });

  it('ignores TERM, which supervisors send to every process of a service', async (t) => {
    const { start, noted } = scene(t, noting());
    const server = await start();
    await until(() => noted('whenReady').length === 1, 'whenReady');
    const [{ host }] = noted() as [Noted];
    for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const) process.kill(host, signal);
    assert.equal(await server.stop(), 0);
    assert.equal(noted('onExit')[0]!.host, host);
    assert.equal(isRunning(host), false);
  });

  it('ends when the arbiter is killed, also in a hook that never ends', async (t) => {
    const endings = ['', 'whenReady: (event) => { note(event); for (;;); }'].map(async (others) => {
      const { start, noted } = scene(t, noting(others));
      const server = await start();
      await until(() => noted('whenReady').length === 1, 'whenReady');
      server.workers();
      const [{ host }] = noted() as [Noted];
      server.kill('SIGKILL');
      await server.exited;
      await until(() => !isRunning(host), 'it to end', 40);
    });
    await Promise.all(endings);
  });

  it('is not waited for by who wants the end at once', async (t) => {
    const { start, noted } = scene(t, noting('whenReady: (event) => { note(event); for (;;); }'));
    const server = await start();
    await until(() => noted('whenReady').length === 1, 'whenReady');
    server.kill('SIGINT');
    await until(() => /requests in flight have one second/.test(server.stderr), 'the stop');
    await interruptAgain(server);
    assert.equal((await server.exited).code, 0);
    assert.match(server.stderr, /hook onExit \(fasticorn\.config\.mjs\) was not run/);
  });

  it("is each server's own in an upgrade", async (t) => {
    const lineage = new Lineage(t);
    const { start, noted } = scene(t, noting());
    const server = await start([], 'echo.mjs', { env: lineage.env });
    await until(() => noted('whenReady').length === 1, 'whenReady');
    server.kill('SIGUSR2');
    assert.equal((await server.exited).code, 0);
    await until(() => noted('whenReady').length === 2, 'the successor');
    const [before, successor] = noted('whenReady') as [Noted, Noted];
    assert.ok(successor.type === 'whenReady');
    const told = (one: Noted) =>
      noted()
        .filter(({ host }) => host === one.host)
        .map(({ type }) => type);
    assert.deepEqual(told(before), ['onStarting', 'workerReady', 'whenReady', 'workerExit', 'onExit']);
    process.kill(successor.pid, 'SIGTERM');
    await until(() => told(successor).includes('onExit'), 'its end');
    assert.deepEqual(told(successor), told(before));
  });
});

describe('under load', () => {
  it('no request and no event is lost, whatever the hooks do', async (t) => {
    const text = noting(`
      workerExit: async (event) => { note(event); throw new Error('no'); },
      onReload: (event) => { note(event); process.exit(); }`);
    const { start, noted } = scene(t, text);
    const server = await start(['--workers', '2']);
    const enough = new AbortController();
    const running = load({ to: { socketPath: server.socket }, connections: 16, signal: enough.signal });
    for (const reloads of [1, 2]) {
      server.kill('SIGHUP');
      await until(() => noted('onReload').length === reloads, 'a reload');
    }
    await until(() => noted('workerExit').length === 4, 'the old workers to end');
    assert.equal(await server.stop(), 0);
    enough.abort();
    assert.deepEqual((await running).bad, []);
    assert.deepEqual(
      ALL.map((name) => [name, noted(name).length]),
      [
        ['onStarting', 1],
        ['workerReady', 6],
        ['whenReady', 1],
        ['onReload', 2],
        ['workerStuck', 0],
        ['workerExit', 6],
        ['onExit', 1],
      ],
    );
  });

  it('events beyond a thousand that wait are lost, which is said; the last one never is', async (t) => {
    const { directory, env } = scene(
      t,
      `${NOTE}export default { workerReady: () => new Promise((done) => setTimeout(done, 1)), onExit: note };`,
    );
    const built = new URL('../dist/arbiter/hook-queue.js', import.meta.url).href;
    const { HookQueue } = (await import(built)) as typeof import('../src/arbiter/hook-queue.ts');
    const said: string[] = [];
    const log = { error: (...args: unknown[]) => said.push(String(args.at(-1))) };
    const file = join(directory, 'fasticorn.config.mjs');
    const queue = new HookQueue(
      { path: 'a.mjs', file, names: ['workerReady', 'onExit'] },
      { directory, env: { ...process.env, ...env } },
      log as never,
    );
    const time = new Date().toISOString();
    for (let i = 0; i < 1500; i++)
      queue.push({ type: 'workerReady', time, worker: 1, generation: 1, pid: i, took: 1 });
    queue.push({ type: 'onReload', time, ok: true, generation: 1, message: '' });
    queue.push({ type: 'onExit', time, exitCode: 0 });
    await queue.finish();
    assert.deepEqual(said, [
      'the hooks of a.mjs are too slow: events are lost',
      '500 events were lost, as the hooks of a.mjs were too slow',
    ]);
    assert.ok(existsSync(env.EVENTS) && /onExit/.test(readFileSync(env.EVENTS, 'utf8')));
  });
});
