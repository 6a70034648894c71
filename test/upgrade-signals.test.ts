/**
 * Signals during an upgrade: whom they mean before the new arbiter has taken over, and whom after that.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { changesOf } from './support/lineage.ts';
import { load } from './support/load.ts';
import { RawConnection } from './support/raw.ts';
import { isRunning, until } from './support/server.ts';
import { begin, failed, footprint, type Scene, succeeded, unharmed } from './support/upgrade-scene.ts';

/** The new arbiter, as soon as it runs its workers. */
async function successorOf({ server, lineage }: Scene): Promise<number> {
  const find = () => lineage.arbiters().find(({ pid }) => pid !== server.pid)?.pid;
  await until(() => lineage.members().some(({ ppid }) => ppid === find()), 'the workers of a new arbiter');
  return find()!;
}

/** An upgrade that has taken place while the old arbiter still has a request to answer. */
async function upgradedWhileBusy(t: TestContext) {
  const scene = await begin(t);
  const busy = await RawConnection.open(scene.site.socket);
  busy.get('/held');
  const free = () => scene.site.write('trouble.over', '');
  await until(
    async () => (await scene.site.status()).workers.some((one) => one.inFlight === 1),
    'the request',
  );
  scene.say('version two');
  succeeded(await scene.site.ask('upgrade'));
  assert(isRunning(scene.server.pid));
  return { ...scene, busy, free, successor: await scene.arbiter() };
}

describe('Before the new arbiter has taken over', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`${signal} to the old one stops both`, async (t) => {
      const scene = await begin(t);
      const { site, server, lineage, say } = scene;
      say('slow 1500');
      const upgrade = site.ask('upgrade');
      await successorOf(scene);
      server.kill(signal);
      await until(() => lineage.members().length === 0, 'the end of everybody');
      assert.equal((await server.exited).code, 0);
      assert.equal((await upgrade).code, 1);
      assert.deepEqual(readdirSync(site.directory).sort(), ['app.mjs', 'trouble']);
    });
  }

  it('SIGHUP to the old one is refused, and the log says so', async (t) => {
    const scene = await begin(t, ['-w', '1']);
    const { site, server, say } = scene;
    say('slow 1500');
    const upgrade = site.ask('upgrade');
    await successorOf(scene);
    server.kill('SIGHUP');
    succeeded(await upgrade);
    await server.exited;
    const warnings = server.log().flatMap(({ level, msg }) => (level === 40 ? [msg] : []));
    assert.deepEqual(warnings, ['SIGHUP: an upgrade is under way']);
  });

  it('SIGTERM to the new one has it back out, and nobody notices', async (t) => {
    const scene = await begin(t);
    const { site } = scene;
    const before = await footprint(scene);
    const changes = changesOf(t, site.socket);
    const enough = new AbortController();
    const clients = load({
      to: { socketPath: site.socket },
      keepAlive: false,
      signal: enough.signal,
      count: 50_000,
    });
    // The second time one of its workers serves already, and the other one is held while it boots.
    for (const trouble of ['slow 1000', 'one']) {
      scene.say(trouble);
      const readyBefore = scene.server.stderr.split(' is ready').length;
      const upgrade = site.ask('upgrade');
      const successor = await successorOf(scene);
      if (trouble === 'one') {
        await until(
          () => scene.server.stderr.split(' is ready').length > readyBefore,
          'a new worker that serves',
        );
      }
      process.kill(successor, 'SIGTERM');
      failed(await upgrade, /^fasticorn: upgrade failed: the new arbiter ended before it could take over/);
    }
    enough.abort();
    const { sent, bad, refused } = await clients;
    t.diagnostic(`${sent} requests sent, ${bad.length + refused} lost`);
    assert.deepEqual([bad, refused], [[], 0]);
    await until(() => scene.lineage.members().length === before.pids.length, 'the newcomers to end');
    scene.tidy();
    await unharmed(scene, before);
    assert.equal(changes.count, 0);
    scene.say('');
    succeeded(await site.ask('upgrade'));
  });

  it('SIGKILL to the old one leaves the new one, under the same names', async (t) => {
    const scene = await begin(t);
    const { site, server, lineage, pidFile, say } = scene;
    const names = readdirSync(site.directory).length;
    say('version two');
    void site.ask('upgrade');
    const successor = await successorOf(scene);
    server.kill('SIGKILL');
    await until(
      async () => (await site.status().catch(() => undefined))?.arbiter.pid === successor,
      'the new one',
    );
    await until(() => existsSync(site.socket), 'the name');
    await until(() => lineage.members().length === 3, 'the old workers to be gone');
    // The last of them may have taken the name with them.
    await until(async () => (await site.version().catch(() => '')) === 'two', 'the answer');
    assert.equal(readFileSync(pidFile, 'utf8'), `${successor}\n`);
    assert.equal(readdirSync(site.directory).length, names);
  });
});

it('SIGKILL to the old arbiter while the new one takes over leaves the new one', async (t) => {
  const scene = await begin(t);
  const { site, server, lineage, pidFile } = scene;
  void site.ask('upgrade');
  const successor = await successorOf(scene);
  // The pid file is the first of the names that change: nothing else is done in between.
  const deadline = Date.now() + 20_000;
  while (readFileSync(pidFile, 'utf8') !== `${successor}\n`) assert(Date.now() < deadline);
  server.kill('SIGKILL');
  await until(() => lineage.members().length === 3, 'the old workers to be gone');
  await until(async () => (await site.version().catch(() => '')) === 'fine', 'the answer');
  assert.equal(await scene.arbiter(), successor);
  assert.equal(readFileSync(pidFile, 'utf8'), `${successor}\n`);
});

describe('After the new arbiter has taken over', () => {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    it(`${signal} to the old one does not touch the new one, nor the requests of the old one`, async (t) => {
      const { site, server, busy, free, successor, lineage } = await upgradedWhileBusy(t);
      const changes = changesOf(t, site.socket);
      server.kill(signal);
      free();
      assert.deepEqual(
        await server.exited,
        signal === 'SIGTERM' ? { code: 0, signal: null } : { code: null, signal },
      );
      await until(() => lineage.members().length === 3, 'the old workers to be gone');
      assert.match(busy.received, /\r\n\r\nheld$/);
      assert.equal(await site.version(), 'two');
      assert.equal((await site.status()).arbiter.pid, successor);
      assert.equal(changes.count, 0);
    });
  }

  it('SIGTERM to the new one ends it, and the old one finishes its requests', async (t) => {
    const { site, server, busy, free, successor, lineage } = await upgradedWhileBusy(t);
    process.kill(successor, 'SIGTERM');
    await until(() => !isRunning(successor), 'the new one to be gone');
    assert.equal(existsSync(site.socket), false);
    assert(isRunning(server.pid));
    free();
    assert.equal((await server.exited).code, 0);
    assert.match(busy.received, /\r\n\r\nheld$/);
    await until(() => lineage.members().length === 0, 'the end of everybody');
    assert.deepEqual(readdirSync(site.directory).sort(), ['app.mjs', 'trouble', 'trouble.over']);
  });

  it('it may be upgraded in its turn while the old one still drains', async (t) => {
    const { site, server, busy, free, successor, replaced, say } = await upgradedWhileBusy(t);
    say('version three');
    succeeded(await site.ask('upgrade'));
    assert(isRunning(server.pid));
    free();
    await replaced(successor);
    assert.equal(await site.version(), 'three');
    assert.match(busy.received, /\r\n\r\nheld$/);
  });
});
