/**
 * What an app, an operator or a broken successor does to processes that are ours, without meaning harm: nothing comes
 * of it, and the log tells where that helps.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn } from './support/command.ts';
import { order, readyWorkers, settled, statusOf } from './support/control.ts';
import { fetchFrom } from './support/http.ts';
import { changesOf } from './support/lineage.ts';
import { linksOf } from './support/processes.ts';
import {
  app,
  isRunning,
  namesOf,
  type Server,
  startServer,
  temporaryDirectory,
  until,
} from './support/server.ts';
import { Site, versionApp } from './support/site.ts';
import { begin, failed } from './support/upgrade-scene.ts';

const WAYS = ['at boot', 'in a request'] as const;

/** Two workers of an app that interferes, which all have done so and have beaten since. */
async function interfered(
  t: TestContext,
  way: 'talk' | 'readiness' | 'noise' | 'disconnect',
  when: (typeof WAYS)[number],
) {
  const server = await startServer(t, app('interferes.mjs'), ['-w', '2'], {
    env: when === 'at boot' ? { AT_BOOT: way } : {},
  });
  await settled(server, 2);
  const workers = server.workers().sort();
  const before = namesOf(server.socket).map((name) => nameAndInode(server, name));
  const changes = changesOf(t, server.socket);
  await everyone(server, workers, when === 'at boot' ? '/pid' : `/do/${way}`);
  // What a worker sends after that is heard after it.
  const asked = await totals(server);
  await everyone(server, workers, '/pid');
  await until(async () => {
    const now = await totals(server);
    return workers.every((pid) => (now.get(pid) ?? 0) > (asked.get(pid) ?? 0));
  }, 'beats of both workers');
  const unchanged = async () => {
    assert.deepEqual(server.workers().sort(), workers);
    assert.deepEqual((await readyWorkers(server)).map(({ pid }) => pid).sort(), workers);
    assert.deepEqual(
      namesOf(server.socket).map((name) => nameAndInode(server, name)),
      before,
    );
    assert.equal(changes.count, 0);
    assert.equal((await fetchFrom({ socketPath: server.socket }, '/')).body, 'hello');
  };
  return { server, workers, unchanged };
}

const nameAndInode = (server: Server, name: string) => [
  name,
  lstatSync(join(dirname(server.socket), name)).ino,
];

/** How many requests each worker has told of. */
async function totals(server: Server): Promise<Map<number | null, number>> {
  return new Map((await readyWorkers(server)).map(({ pid, requests = 0 }) => [pid, requests]));
}

/** Asks until each of these workers has answered, on new connections, and says so in its answer. */
async function everyone(server: Server, workers: readonly number[], path: string): Promise<void> {
  const missing = new Set(workers);
  await until(async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => fetchFrom({ socketPath: server.socket }, path)),
    );
    for (const { status, body } of answers) {
      assert.equal(status, 200, body);
      assert.ok(workers.includes(Number(body)), `${body} is none of ${workers}`);
      missing.delete(Number(body));
    }
    return missing.size === 0;
  }, `answers of ${workers}`);
}

const saying = (server: Server, text: RegExp) => server.log().filter(({ msg }) => text.test(msg));
const loud = (server: Server) => server.log().filter(({ level }) => level > 30);

describe('An app that talks to its parent process', () => {
  for (const when of WAYS) {
    it(`${when} harms nobody`, async (t) => {
      const { server, unchanged } = await interfered(t, 'talk', when);
      await unchanged();
      assert.deepEqual(loud(server), []);
      assert.equal(await server.stop(), 0);
      assert.deepEqual(namesOf(server.socket), []);
    });
  }

  for (const [what, args] of [
    ['a start', []],
    ['--check-config', ['--check-config']],
  ] as const) {
    it(`fails ${what} as any other if it says that it is ready, and throws`, async (t) => {
      const socket = join(temporaryDirectory(t), 'app.sock');
      const { code, stderr } = await fasticorn(
        t,
        ['-b', `unix:${socket}`, '-w', '2', ...args, app('interferes.mjs')],
        { env: { AT_BOOT: 'talk', THROW: '1' } },
      );
      assert.equal(code, 4, stderr);
      assert.match(stderr, /interferes\.mjs failed to start:\s+(Error: )?thrown on purpose/);
      assert.doesNotMatch(stderr, /made up/);
      assert.deepEqual(readdirSync(dirname(socket)), []);
    });
  }
});

describe('An app that says on descriptor 3 that it is ready', () => {
  for (const when of WAYS) {
    it(`${when} is heard by nobody`, async (t) => {
      const { server, unchanged } = await interfered(t, 'readiness', when);
      await unchanged();
      assert.deepEqual(loud(server), []);
      assert.equal(await server.stop(), 0);
    });
  }
});

describe('Noise on the channel to the arbiter', () => {
  const errors = (server: Server) => saying(server, /has written to its channel to the arbiter/);

  for (const when of WAYS) {
    it(`that an app makes ${when} harms nobody, and is in the log`, async (t) => {
      const { server, unchanged } = await interfered(t, 'noise', when);
      await unchanged();
      assert.ok(errors(server).length > 0);
      assert.equal(loud(server).length, errors(server).length);
      assert.equal(await server.stop(), 0);
      assert.deepEqual(namesOf(server.socket), []);
    });
  }

  it('that a hook makes harms nobody either', async (t) => {
    const file = join(temporaryDirectory(t), 'noisy.mjs');
    writeFileSync(
      file,
      `import { writeSync } from 'node:fs';
      export default { onReload() { writeSync(4, 'ready\\n'); process.send({ cmd: 'NODE_HANDLE_ACK' }); } };`,
    );
    const server = await startServer(t, app('echo.mjs'), ['-w', '1', '-c', file]);
    await settled(server, 1);
    assert.equal((await order(server, '/reload')).status, 200);
    await until(() => errors(server).length > 0, 'the error');
    assert.equal((await order(server, '/reload')).status, 200);
    assert.equal(await server.stop(), 0);
  });
});

describe('An app that disconnects from its parent process', () => {
  const warnings = (server: Server) => saying(server, /disconnect/);

  for (const when of WAYS) {
    it(`${when} goes on serving under the same names, is warned once, and can be stopped`, async (t) => {
      const { server, workers, unchanged } = await interfered(t, 'disconnect', when);
      await unchanged();
      assert.deepEqual(
        warnings(server).map(({ level, pid }) => ({ level, pid })),
        loud(server).map(({ pid }) => ({ level: 40, pid })),
      );
      assert.deepEqual(
        warnings(server)
          .map(({ pid }) => pid)
          .sort(),
        workers,
        'one warning of each worker',
      );
      assert.equal(await server.stop(), 0);
      assert.deepEqual(namesOf(server.socket), []);
    });

    it(`${when} is replaced by a reload`, async (t) => {
      const { server, workers } = await interfered(t, 'disconnect', when);
      server.kill('SIGHUP');
      await until(() => !workers.some(isRunning), 'the old workers to end');
      await settled(server, 2);
      assert.equal((await fetchFrom({ socketPath: server.socket }, '/')).body, 'hello');
      assert.equal(await server.stop(), 0);
    });

    it(`${when} notices all the same that the arbiter was killed`, async (t) => {
      const { server, workers } = await interfered(t, 'disconnect', when);
      server.kill('SIGKILL');
      await until(() => namesOf(server.socket).length === 0, 'the names to be gone');
      await until(() => !workers.some(isRunning), 'the workers to be gone', 40);
    });
  }
});

/** The ports that a process listens on. */
function listeningPorts(pid: number): number[] {
  const links = new Set(linksOf(pid));
  return ['tcp', 'tcp6'].flatMap((family) => {
    const rows = readFileSync(`/proc/${pid}/net/${family}`, 'utf8').trim().split('\n').slice(1);
    return rows.flatMap((row) => {
      const [, local = '', , state, , , , , , inode] = row.trim().split(/\s+/);
      return state === '0A' && links.has(`socket:[${inode}]`)
        ? [Number.parseInt(local.split(':')[1]!, 16)]
        : [];
    });
  });
}

describe('SIGUSR1 to the workers, which opens the inspector of Node,', () => {
  it('opens it for a moment only, and they go on serving', async (t) => {
    const server = await startServer(t, app('interferes.mjs'), ['-w', '2']);
    await settled(server, 2);
    const workers = server.workers().sort();
    const warnings = () => saying(server, /SIGUSR1|inspector/i);
    for (const pid of workers) process.kill(pid, 'SIGUSR1');
    await until(() => warnings().length === 2, 'a warning of each worker');
    await until(() => workers.every((pid) => listeningPorts(pid).length === 0), 'no port', 5);
    await everyone(server, workers, '/pid');
    await until(async () => [...(await totals(server)).values()].every((count) => count > 0), 'beats');
    assert.deepEqual(workers.map(listeningPorts), [[], []]);
    assert.deepEqual(server.workers().sort(), workers);
    assert.deepEqual(
      loud(server).map(({ level, pid }) => ({ level, pid })),
      warnings().map(({ pid }) => ({ level: 40, pid })),
    );
    assert.deepEqual(
      warnings()
        .map(({ pid }) => pid)
        .sort(),
      workers,
    );
    assert.equal(await server.stop(), 0);
  });

  it('opens it for a moment only, however often it comes', async (t) => {
    const server = await startServer(t, app('interferes.mjs'), ['-w', '1']);
    await settled(server, 1);
    const [pid] = server.workers();
    for (let round = 0; round < 3; round++) {
      process.kill(pid!, 'SIGUSR1');
      await until(() => listeningPorts(pid!).length > 0, 'the inspector to be opened');
      await until(() => listeningPorts(pid!).length === 0, 'it to be closed', 5);
    }
    await everyone(server, [pid!], '/pid');
    assert.equal(await server.stop(), 0);
  });
});

describe('SIGUSR1 to an arbiter that has only just been started', () => {
  it('leaves no inspector open, through which others could run code as root', async (t) => {
    const directory = temporaryDirectory(t);
    const preload = join(directory, 'preload.cjs');
    const began = join(directory, 'began');
    // A moment in which only Node itself hears of signals.
    writeFileSync(
      preload,
      `require('node:fs').appendFileSync(${JSON.stringify(began)}, '');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);`,
    );
    const server = await startServer(t, app('interferes.mjs'), ['-w', '1'], {
      // Not the usual port, which may be somebody else's.
      env: { NODE_OPTIONS: `--inspect-port=127.0.0.1:0 --require=${preload}` },
      early: true,
    });
    await until(() => existsSync(began), 'Node to begin');
    process.kill(server.pid, 'SIGUSR1');
    await until(() => server.stderr.includes('Debugger listening'), 'the inspector to be opened');
    await settled(server, 1);
    await until(() => listeningPorts(server.pid).length === 0, 'no port', 5);
    // Not opened later, either.
    await everyone(server, server.workers(), '/pid');
    assert.deepEqual(listeningPorts(server.pid), []);
    assert.equal(await server.stop(), 0);
  });
});

describe('A worker that is killed', () => {
  it('runs again what its generation runs, wherever the link of --chdir leads by now', async (t) => {
    const root = temporaryDirectory(t);
    const site = new Site(t, root);
    site.write('release-1/app.mjs', versionApp('release 1'));
    site.write('release-2/app.mjs', "throw new Error('release 2 is broken');");
    site.write('release-3/app.mjs', versionApp('release 3'));
    const current = join(root, 'current');
    const point = (to: string) => {
      symlinkSync(to, `${current}~`);
      renameSync(`${current}~`, current);
    };
    point('release-1');
    const server = await site.start(['--chdir', current]);
    assert.equal(await site.version(), 'release 1');

    /** Kills all workers, so that whoever answers then has been started after that. */
    const killAll = async (version: string) => {
      const before = await site.ready();
      for (const pid of before) process.kill(pid!, 'SIGKILL');
      await until(async () => {
        const now = await site.ready();
        return now.length === 2 && now.every((pid) => !before.includes(pid));
      }, 'new workers');
      await everyone(server, server.workers(), '/pid');
      for (let i = 0; i < 10; i++) assert.equal(await site.version(), version);
    };

    point('release-2');
    // The link has moved, but nobody has asked for it yet.
    await killAll('release 1');
    server.kill('SIGHUP');
    await until(() => saying(server, /^reload failed.*release 2 is broken/).length > 0, 'the failure');
    await until(async () => (await site.status()).workers.length === 2, 'the failed generation to go');
    await killAll('release 1');

    point('release-3');
    server.kill('SIGHUP');
    await site.serves('release 3');
    await killAll('release 3');
    assert.equal(await server.stop(), 0);
  });
});

// Each waits for the successor to be given up.
describe('A stop during an upgrade whose Node is deaf and dumb', { concurrency: true }, () => {
  const stops: Record<string, (server: Server, site: Site) => unknown> = {
    SIGTERM: (server) => server.kill('SIGTERM'),
    SIGINT: (server) => server.kill('SIGINT'),
    'fasticorn stop': async (_server, site) => {
      const { code, stderr } = await site.ask('stop');
      assert.equal(code, 0, stderr);
    },
  };
  for (const [what, stop] of Object.entries(stops)) {
    it(`comes to an end, and leaves nobody: ${what}`, async (t) => {
      const node = join(temporaryDirectory(t), 'node');
      const scene = await begin(t, ['--node', node, '--graceful-timeout', '2']);
      const { site, server, lineage } = scene;
      site.write('node', "#!/bin/sh\ntrap '' TERM INT\nexec sleep 1000\n");
      renameSync(join(site.directory, 'node'), node);
      chmodSync(node, 0o755);
      const upgrade = site.ask('upgrade');
      await until(
        () => lineage.members().some(({ title }) => title === 'sleep 1000'),
        'the successor to be deaf',
      );
      await stop(server, site);
      assert.deepEqual(await server.exited, { code: 0, signal: null });
      await until(() => lineage.members().length === 0, 'the end of everybody');
      failed(await upgrade, /^fasticorn: /);
      assert.deepEqual(readdirSync(site.directory).sort(), ['app.mjs', 'trouble']);
    });
  }
});

describe('An app that listens to what we say to its process', () => {
  it('hears nothing of it, neither what comes nor what goes', async (t) => {
    const server = await startServer(t, app('eavesdrops.mjs'), ['-w', '1']);
    await settled(server, 1);
    const heard = async () => {
      const answer = await fetchFrom({ socketPath: server.socket }, '/');
      return answer.json<{ heard: unknown[] }>().heard;
    };
    assert.deepEqual(await heard(), []);
    await until(async () => (await statusOf(server)).workers[0]!.requests === 1, 'a beat');
    assert.deepEqual(await heard(), []);
  });
});
