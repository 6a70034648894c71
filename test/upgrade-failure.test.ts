/**
 * Upgrades that fail, in every way: the old arbiter carries on, nothing is left behind, and a later one succeeds.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmdirSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openListeners } from '../src/arbiter/listener.ts';
import { Office } from '../src/arbiter/office.ts';
import { load } from '../src/config/load.ts';
import { openErrorLog } from '../src/log.ts';
import { order, settled, statusOf } from './support/control.ts';
import { changesOf } from './support/lineage.ts';
import { liveServer } from './support/neighbours.ts';
import { app, startServer, temporaryDirectory, until } from './support/server.ts';
import { begin, failed, footprint, type Scene, succeeded, unharmed } from './support/upgrade-scene.ts';

describe('A new arbiter that fails leaves everything as it was, and says why:', () => {
  const cases: { name: string; trouble: (scene: Scene) => void; reason: RegExp; args?: string[] }[] = [
    {
      name: 'a mistake in the config file',
      trouble: ({ site }) => site.write('fasticorn.config.mjs', 'export default { wokers: 3 };'),
      reason: /^fasticorn: upgrade failed: .*fasticorn\.config\.mjs.*"wokers": did you mean workers\?\n$/,
    },
    {
      name: 'a log file that it cannot have',
      trouble: ({ site }) =>
        site.write(
          'fasticorn.config.mjs',
          `export default { accessLogfile: ${JSON.stringify(join(site.directory, 'missing', 'log'))} };`,
        ),
      reason: /^fasticorn: upgrade failed: .*missing/,
    },
    {
      name: 'an app that throws',
      trouble: ({ say }) => say('throw'),
      reason:
        /^fasticorn: upgrade failed: \.\/app\.mjs failed to start: thrown on purpose\nError: thrown on purpose\n +at /,
    },
    {
      name: 'an app that is never ready',
      trouble: ({ site, say }) => {
        site.write('fasticorn.config.mjs', 'export default { bootTimeout: 2 };');
        say('hang');
      },
      reason: /^fasticorn: upgrade failed: .*boot.*\n$/,
    },
    {
      name: 'an app that dies right after it was ready',
      trouble: ({ say }) => say('die'),
      reason: /^fasticorn: upgrade failed: worker \d .*3.*\n$/,
    },
    {
      name: 'a Node that is not there',
      trouble: () => {},
      reason: /^fasticorn: upgrade failed: --node \/nowhere\/node could not be started: .*ENOENT\n$/,
      args: ['--node', '/nowhere/node'],
    },
    {
      name: 'a Node below something that is no directory',
      trouble: () => {},
      reason: /^fasticorn: upgrade failed: --node \/etc\/passwd\/node could not be started: .*ENOTDIR\n$/,
      args: ['--node', '/etc/passwd/node'],
    },
  ];
  for (const { name, trouble, reason, args } of cases) {
    it(name, async (t) => {
      const scene = await begin(t, args);
      const { site, server, say } = scene;
      const before = await footprint(scene);
      const changes = [site.socket, scene.pidFile, site.control].map((path) => changesOf(t, path));
      trouble(scene);
      failed(await site.ask('upgrade'), reason);
      const added = existsSync(join(site.directory, 'fasticorn.config.mjs')) ? ['fasticorn.config.mjs'] : [];
      await unharmed(scene, { ...before, names: [...before.names, ...added].sort() });
      assert.deepEqual(
        changes.map(({ count }) => count),
        [0, 0, 0],
      );

      say('version later');
      rmSync(join(site.directory, 'fasticorn.config.mjs'), { force: true });
      if (args?.[0] === '--node') return;
      succeeded(await site.ask('upgrade'));
      await scene.replaced(server.pid);
      assert.equal(await site.version(), 'later');
    });
  }

  it('a failure after the old one has made way: that takes everything back', async (t) => {
    const scene = await begin(t);
    const { site, server, lineage, pidFile, say } = scene;
    const before = await footprint(scene);
    const changes = changesOf(t, site.socket);
    say('slow 1000');
    const upgrade = site.ask('upgrade');
    await until(() => lineage.arbiters().length > 1, 'the new arbiter');
    unlinkSync(pidFile);
    mkdirSync(pidFile);
    failed(
      await upgrade,
      /^fasticorn: upgrade failed: --pid \S+app\.pid: it is not a regular file; it was left alone\n$/,
    );
    assert.equal(changes.count, 0);
    rmdirSync(pidFile);
    assert.equal(await scene.arbiter(), server.pid);
    assert.deepEqual((await site.ready()).sort(), before.workers);
    // It guards the path again.
    unlinkSync(site.socket);
    await until(() => existsSync(site.socket), 'the name to be put back');
    say('version later');
    succeeded(await site.ask('upgrade'));
    await scene.replaced(server.pid);
    assert.equal(await site.version(), 'later');
  });

  it('a socket whose place somebody else has taken meanwhile, which keeps no other from coming back', async (t) => {
    const directory = temporaryDirectory(t);
    const [taken, free] = ['taken.sock', 'free.sock'].map((name) => join(directory, name));
    const { config } = load(
      ['-b', `unix:${taken}`, '-b', `unix:${free}`, '--control-socket', 'off'],
      {},
      { cpus: 1 },
    );
    const listeners = await openListeners(config, { onRestored() {}, onForeign() {}, onLost() {} });
    t.after(() => {
      for (const listener of listeners) {
        listener.withdraw();
        listener.close();
      }
    });
    await liveServer(t, taken!);
    const office = new Office({ config, predecessor: undefined, log: openErrorLog(config).logger });
    await assert.rejects(office.resume(listeners), /taken\.sock: another server/);
    assert(existsSync(free!));
  });

  it('a working directory that has gone, which is not the fault of Node', async (t) => {
    const scene = await begin(t, ['-w', '1']);
    const { site } = scene;
    const release = join(temporaryDirectory(t), 'release');
    mkdirSync(release);
    site.write('fasticorn.config.mjs', 'export default {};');
    const config = join(site.directory, 'fasticorn.config.mjs');
    const other = await startServer(t, app('echo.mjs'), ['-w', '1', '-c', config], {
      cwd: release,
      env: scene.lineage.env,
    });
    await settled(other, 1);
    rmdirSync(release);
    const gone = new RegExp(`the directory ${release} has gone; put it back`);
    assert.match((await order(other, '/upgrade')).body, gone);
    assert.match((await order(other, '/reload')).body, gone);
    const [worker] = other.workers();
    process.kill(worker!, 'SIGKILL');
    await until(
      async () => (await statusOf(other)).exits.some(({ reason }) => gone.test(reason)),
      'the reason',
    );
  });

  it('SIGKILL at any moment', async (t) => {
    const scene = await begin(t);
    const { site, server, lineage, say, tidy } = scene;
    const before = await footprint(scene);
    const changes = changesOf(t, site.socket);
    // One of the new workers is held while it boots, so that no stage is left behind before it was seen.
    say('one');
    // No title yet, no workers yet, workers that boot, that serve.
    const newcomers = () => lineage.members().filter(({ pid }) => !before.pids.includes(pid));
    const ready = () => server.stderr.split(' is ready').length - 1;
    const oneServes = (readyBefore: number) => ready() > readyBefore;
    const stages: {
      reached: (readyBefore: number) => boolean;
      more?: (successor: number) => Promise<void>;
    }[] = [
      { reached: () => newcomers().length > 0 },
      { reached: () => lineage.arbiters().length > 1 },
      { reached: () => newcomers().length > 1 },
      { reached: () => newcomers().some(({ title }) => title.startsWith('fasticorn: worker')) },
      { reached: oneServes },
      {
        reached: oneServes,
        // Then both do: what it would do next is to take over.
        more: async (successor) => {
          process.kill(successor, 'SIGSTOP');
          site.write('trouble.over', '');
          await until(() => existsSync(join(site.directory, 'trouble.second')), 'the other worker to serve');
        },
      },
    ];
    for (const { reached, more } of stages) {
      const readyBefore = ready();
      const upgrade = site.ask('upgrade');
      await until(() => reached(readyBefore), 'the stage');
      const successor = newcomers().find(({ ppid }) => ppid === server.pid)!;
      await more?.(successor.pid);
      process.kill(successor.pid, 'SIGKILL');
      failed(
        await upgrade,
        /^fasticorn: upgrade failed: the new arbiter ended before it could take over \(SIGKILL\)\n$/,
      );
      await until(() => newcomers().length === 0, 'the newcomers to end');
      tidy();
      await unharmed(scene, before);
    }
    assert.equal(changes.count, 0);
    say('');
    succeeded(await site.ask('upgrade'));
    await scene.replaced(server.pid);
  });
});
