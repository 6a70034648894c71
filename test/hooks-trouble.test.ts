/**
 * Hooks that throw, hang, die or flood: the server goes on, and so do the hooks after them.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertServes, errorsOf, hostsOf, noting, scene } from './support/hooks.ts';
import { isRunning, until } from './support/server.ts';

describe('a hook that', () => {
  it('throws is reported with its place, and the next ones run', async (t) => {
    const text = noting(`
      workerReady: () => { throw new TypeError('no good'); },
      onStarting: async () => { throw 'a text'; }`);
    const { start, noted } = scene(t, text);
    const server = await start();
    await until(() => noted('whenReady').length === 1, 'whenReady');
    const [first, second] = errorsOf(server);
    assert.equal(first?.msg, 'hook onStarting (fasticorn.config.mjs): a text');
    assert.equal(second?.msg, 'hook workerReady (fasticorn.config.mjs): no good');
    assert.equal(second?.hook, 'workerReady');
    assert.match(String(Object(second?.err).stack), /^TypeError: no good\n.*fasticorn\.config\.mjs:6:/);
    assert.deepEqual(new Set(noted().map(({ host }) => host)), new Set(hostsOf(server)));
    await assertServes(server);
    assert.equal(await server.stop(), 0);
  });

  it('says nonsense over its channel harms nobody', async (t) => {
    const nonsense = ['failed', 'done', 'loaded', 'other'].flatMap((type) => [
      { type },
      { type, error: null },
      { type, id: 1, error: 5 },
      { type, id: 1, error: { stack: 'x' } },
    ]);
    const text = noting(
      `whenReady: (event) => {
         for (const one of ${JSON.stringify([null, 'text', ...nonsense])}) process.send(one);
         note(event);
       }`,
    );
    const { start, noted } = scene(t, text);
    const server = await start();
    await until(() => noted('whenReady').length === 1, 'whenReady');
    server.kill('SIGHUP');
    await until(() => noted('onReload').length === 1, 'the reload');
    await assertServes(server);
    assert.deepEqual(errorsOf(server), []);
    assert.equal(await server.stop(), 0);
    assert.equal(noted('onExit').length, 1);
  });

  it('leaves a rejected promise behind is reported, and the next ones run', async (t) => {
    const text = noting(`workerReady: () => { setImmediate(() => Promise.reject(new Error('left'))); }`);
    const { start, noted } = scene(t, text);
    const server = await start();
    await until(() => errorsOf(server).length > 0, 'the error');
    assert.match(errorsOf(server)[0]!.msg, /\(?fasticorn\.config\.mjs\)?: left$/);
    server.kill('SIGHUP');
    await until(() => noted('onReload').length === 1, 'the reload');
    assert.equal(await server.stop(), 0);
    assert.equal(noted('onExit').length, 1);
  });

  it('ends its process is reported, and the next ones run in another', async (t) => {
    const text = noting(`
      onStarting: () => process.exit(7),
      workerReady: (event) => { note(event); process.kill(process.pid, 'SIGKILL'); }`);
    const { start, noted } = scene(t, text);
    const server = await start();
    await until(() => noted('whenReady').length === 1, 'whenReady');
    assert.deepEqual(
      errorsOf(server).map(({ msg }) => msg),
      [
        'hook onStarting (fasticorn.config.mjs): its process ended (exit code 7)',
        'hook workerReady (fasticorn.config.mjs): its process ended (SIGKILL)',
      ],
    );
    assert.equal(new Set(noted().map(({ host }) => host)).size, 2);
    assert.equal(await server.stop(), 0);
    assert.equal(noted('onExit').length, 1);
  });

  it('has its process end later is reported, and the next ones run', async (t) => {
    const text = noting('workerReady: (event) => { note(event); setTimeout(() => process.exit(8), 100); }');
    const { start, noted } = scene(t, text);
    const server = await start();
    await until(() => errorsOf(server).length > 0, 'the error');
    assert.match(errorsOf(server)[0]!.msg, /fasticorn\.config\.mjs\)?: its process ended \(exit code 8\)$/);
    assert.equal(await server.stop(), 0);
    assert.equal(noted('onExit').length, 1);
  });

  it('disconnects, or speaks to the arbiter, changes nothing', async (t) => {
    const text = noting(`
      onStarting: async (event) => {
        note(event);
        for (const message of [null, 'a', { type: 'done', id: 2 }, { type: 'loaded' }, { type: 'done' }])
          process.send(message);
        await new Promise((done) => setTimeout(done, 200));
        throw new Error('late');
      },
      whenReady: (event) => { note(event); process.disconnect(); }`);
    const { start, noted } = scene(t, text);
    const server = await start();
    await until(() => noted('whenReady').length === 1, 'whenReady');
    await assertServes(server);
    assert.equal(await server.stop(), 0);
    assert.equal(errorsOf(server)[0]!.msg, 'hook onStarting (fasticorn.config.mjs): late');
    assert.deepEqual(
      noted().map(({ type }) => type),
      ['onStarting', 'workerReady', 'whenReady', 'workerExit', 'onExit'],
    );
  });

  it('never comes to an end is killed with what it has started, and the next ones run', async (t) => {
    const hanging = (what: string) => noting(`onStarting: async (event) => { note(event); ${what} }`);
    const ways = [
      'for (;;);',
      'await new Promise(() => {});',
      `const { execFileSync } = await import('node:child_process'); execFileSync('sleep', ['600']);`,
    ];
    await Promise.all(
      ways.map(async (way) => {
        const { start, noted } = scene(t, hanging(way));
        const server = await start();
        await until(() => noted('onStarting').length === 1, 'the hook');
        await assertServes(server);
        const { host } = noted('onStarting')[0]!;
        await until(() => noted('whenReady').length === 1, `the next hook after ${way}`, 40);
        const late = 'hook onStarting (fasticorn.config.mjs): it was not done after 10 s, and was killed';
        assert.equal(errorsOf(server)[0]!.msg, late);
        assert.equal(isRunning(host), false);
        assert.deepEqual(
          noted().map(({ type }) => type),
          ['onStarting', 'workerReady', 'whenReady'],
        );
        assert.equal(await server.stop(), 0);
      }),
    );
  });

  it('hangs while the server reloads holds up neither reload nor stop, and onExit still runs', async (t) => {
    const { start, noted } = scene(t, noting('onReload: (event) => { note(event); for (;;); }'));
    const server = await start();
    server.kill('SIGHUP');
    await until(() => noted('onReload').length === 1, 'the first reload');
    server.kill('SIGHUP');
    await until(() => /generation 3 serves/.test(server.stderr), 'the second reload');
    await assertServes(server);
    assert.equal(await server.stop(), 0);
    assert.equal(noted('onExit').length, 1);
  });

  it('hangs when the server ends leaves time for onExit', async (t) => {
    const { start, noted } = scene(t, noting('whenReady: (event) => { note(event); for (;;); }'));
    const server = await start();
    await until(() => noted('whenReady').length === 1, 'the hook');
    assert.equal(await server.stop(), 0);
    assert.match(server.stderr, /hook whenReady \(fasticorn\.config\.mjs\): it was not done after 2 s/);
    assert.equal(noted('onExit').length, 1);
  });

  it('hangs at the end is killed, and the exit code stays', async (t) => {
    const { start, noted } = scene(t, noting('onExit: (event) => { note(event); for (;;); }'));
    const server = await start();
    const [host] = hostsOf(server);
    assert.equal(await server.stop(), 0);
    assert.equal(noted('onExit').length, 1);
    assert.equal(isRunning(host!), false);
    assert.match(server.stderr, /hook onExit \(fasticorn\.config\.mjs\): it was not done after 2 s/);
  });

  it('floods its streams and its channel harms nobody', async (t) => {
    const text = noting(`whenReady: async (event) => {
        for (let i = 0; i < 2000; i++) { console.error('e'.repeat(500)); console.log('o'.repeat(500)); }
        for (let i = 0; i < 2000; i++) process.send({ i, text: 'x'.repeat(500) });
        note(event);
      }`);
    const { start, noted } = scene(t, text);
    const server = await start();
    await until(() => noted('whenReady').length === 1, 'the flood');
    assert.doesNotMatch(server.stdout, /oooo/);
    await assertServes(server);
    assert.equal(await server.stop(), 0);
    assert.equal(noted('onExit').length, 1);
  });
});
