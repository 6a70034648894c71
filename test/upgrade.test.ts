/**
 * Upgrade: a new arbiter inherits the sockets and takes the place of the old one, or fails and leaves no trace. ROUNDS
 * says how often it is repeated; NODE_BINARIES names other Nodes, separated by colons.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fasticorn } from './support/command.ts';
import { controlOf, readyWorkers, statusOf } from './support/control.ts';
import { fetchFrom, startOnPort } from './support/http.ts';
import { changesOf, Lineage } from './support/lineage.ts';
import { hindrance, NOBODY } from './support/other-user.ts';
import { accepts } from './support/port.ts';
import { RawConnection } from './support/raw.ts';
import { installFasticorn } from './support/release.ts';
import { app, CLI, isRunning, startServer, temporaryDirectory, until } from './support/server.ts';
import { FILE_DECIDES, Site } from './support/site.ts';
import { begin, descriptorsOf, failed, succeeded } from './support/upgrade-scene.ts';

const ROUNDS = Number(process.env.ROUNDS ?? 3);

describe('An upgrade', () => {
  it('waits until the new arbiter serves, and says so; the old one ends with 0', async (t) => {
    const scene = await begin(t);
    const { site, server, lineage, pidFile } = scene;
    const socketChanges = changesOf(t, site.socket);
    const pidChanges = changesOf(t, pidFile);
    const { ino } = lstatSync(site.socket);
    const names = readdirSync(site.directory).length;
    scene.say('version two');
    const outcome = await site.ask('upgrade');
    succeeded(outcome);
    assert.equal(await scene.arbiter(), Number(/pid (\d+)/.exec(outcome.stdout)?.[1]));
    assert.equal((await server.exited).code, 0);
    assert.equal(await site.version(), 'two');
    const pid = await scene.replaced(server.pid);
    assert.equal(readFileSync(pidFile, 'utf8'), `${pid}\n`);
    assert.equal(lstatSync(site.socket).ino, ino);
    assert.equal(readdirSync(site.directory).length, names);
    assert.deepEqual([socketChanges.count, pidChanges.count], [0, 1]);
    process.kill(pid, 'SIGTERM');
    await until(() => lineage.members().length === 0, 'the end');
    assert.deepEqual(readdirSync(site.directory).sort(), ['app.mjs', 'trouble']);
  });

  it('leaves a port to the new arbiter alone, also while requests are being finished', async (t) => {
    const trouble = join(temporaryDirectory(t), 'trouble');
    writeFileSync(trouble, '');
    const { server, target } = await startOnPort(t, app('upgrade-trouble.mjs'), ['-w', '1'], {
      env: { ...new Lineage(t).env, TROUBLE: trouble },
    });
    await until(() => existsSync(controlOf(server)), 'the control socket');
    const answer = fetchFrom(target, '/held');
    await until(async () => (await readyWorkers(server))[0]?.inFlight, 'the request');
    succeeded(await fasticorn(t, ['upgrade', '--control-socket', controlOf(server)]));
    process.kill((await statusOf(server)).arbiter.pid, 'SIGTERM');
    await until(async () => !(await accepts(target.port)), 'the port to be closed');
    writeFileSync(`${trouble}.over`, '');
    assert.equal((await answer).body, 'held');
    assert.equal((await server.exited).code, 0);
  });

  it('gives the socket the mode of changed settings, and leaves one that was changed by hand', async (t) => {
    const { site } = await begin(t);
    const mode = () => (lstatSync(site.socket).mode & 0o777).toString(8);
    assert.equal(mode(), '666');
    const { ino } = lstatSync(site.socket);
    site.write('fasticorn.config.mjs', `export default { socketMode: '0600' };`);
    succeeded(await site.ask('upgrade'));
    assert.equal(mode(), '600');
    chmodSync(site.socket, 0o640);
    succeeded(await site.ask('upgrade'));
    assert.equal(mode(), '640');
    site.write('fasticorn.config.mjs', `export default { socketMode: '0660' };`);
    succeeded(await site.ask('upgrade'));
    assert.equal(mode(), '660');
    assert.equal(lstatSync(site.socket).ino, ino);
  });

  it('gives the socket to the user and the group of changed settings, and back', async (t) => {
    const obstacle = await hindrance(t);
    if (obstacle) return t.skip(obstacle);
    const { site } = await begin(t);
    const owner = () => {
      const { uid, gid } = lstatSync(site.socket);
      return [uid, gid];
    };
    assert.deepEqual(owner(), [0, 0]);
    for (const [settings, expected] of [
      [{ socketGroup: String(NOBODY) }, [0, NOBODY]],
      [{ socketGroup: '1', socketMode: '0660' }, [0, 1]],
      [{}, [0, 0]],
    ] as const) {
      site.write('fasticorn.config.json', JSON.stringify(settings));
      succeeded(await site.ask('upgrade'));
      assert.deepEqual(owner(), expected);
    }
    chownSync(site.socket, NOBODY, NOBODY);
    succeeded(await site.ask('upgrade'));
    assert.deepEqual(owner(), [NOBODY, NOBODY]);
  });

  it('may be asked for by USR2, also through --pid, and need not be waited for', async (t) => {
    const { site, server, pidFile, replaced } = await begin(t);
    server.kill('SIGUSR2');
    const second = await replaced(server.pid);
    const [byPid, noWait] = [
      ['upgrade', '--pid', pidFile],
      ['upgrade', '--no-wait', '--control-socket', site.control],
    ];
    const run = (args: string[]) =>
      spawnSync(process.execPath, [CLI, ...args], { cwd: '/', encoding: 'utf8' });
    assert.equal(
      run(byPid!).stdout,
      `SIGUSR2 was sent to pid ${second}; what becomes of it is in its log: --bind or --control-socket would wait\n`,
    );
    const third = await replaced(second);
    const { status, stdout } = run(noWait!);
    assert.deepEqual([status, stdout], [0, 'upgrade has begun\n']);
    await replaced(third);
  });

  it(`may be repeated ${ROUNDS} times, and leaks no descriptor, process, name or zombie`, async (t) => {
    const scene = await begin(t, ['-w', '1']);
    const { site, lineage } = scene;
    const changes = changesOf(t, site.socket);
    const seen: object[] = [];
    for (let round = 0, pid = await scene.arbiter(); round < ROUNDS; round++) {
      succeeded(await site.ask('upgrade'));
      pid = await scene.replaced(pid);
      const pids = lineage.members().map((one) => one.pid);
      seen.push({
        count: pids.length,
        descriptors: await Promise.all(pids.map((one) => descriptorsOf(lineage, one))),
        zombies: lineage.zombies().length,
        names: readdirSync(site.directory).length,
        ino: lstatSync(site.socket).ino,
      });
    }
    t.diagnostic(`after each of ${ROUNDS} upgrades: ${JSON.stringify(seen[0])}`);
    assert.deepEqual(seen, Array(ROUNDS).fill(seen[0]));
    assert.equal(changes.count, 0);
  });

  it('brings the workers back after a pause', async (t) => {
    const { site, server, replaced } = await begin(t);
    assert.equal((await site.ask('pause')).code, 0);
    await until(async () => (await site.status()).workers.length === 0, 'no workers');
    const waiting = await RawConnection.open(site.socket);
    waiting.get('/version');
    succeeded(await site.ask('upgrade'));
    await replaced(server.pid);
    await until(() => waiting.answers === 1, 'the answer');
  });

  it('asked for twice happens once; a reload meanwhile is refused', async (t) => {
    const { site, server, lineage, say, replaced } = await begin(t);
    say('slow 1000');
    const both = [site.ask('upgrade'), site.ask('upgrade')];
    await until(async () => (await site.status()).arbiter.phase === 'upgrading', 'the upgrade');
    failed(await site.ask('reload'), /^fasticorn: reload failed: an upgrade is under way\n$/);
    for (const outcome of await Promise.all(both)) succeeded(outcome);
    await replaced(server.pid);
    assert.equal(lineage.arbiters().length, 1);
    assert.equal(server.stderr.match(/starting a new arbiter/g)?.length, 1);
  });

  it('asked for during a reload happens after it', async (t) => {
    const { site, server, say, replaced } = await begin(t);
    say('slow 700');
    const reload = site.ask('reload');
    await until(async () => (await site.status()).arbiter.phase === 'reloading', 'the reload');
    succeeded(await site.ask('upgrade'));
    assert.equal((await reload).code, 0);
    await replaced(server.pid);
  });

  it('is refused in one line by the first process of a container', {
    skip:
      spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status !== 0 &&
      'needs unshare, and the right to use it',
  }, async (t) => {
    const lineage = new Lineage(t);
    const site = new Site(t);
    site.deploy('one');
    const args = [CLI, '-b', `unix:${site.socket}`, '--pid', join(site.directory, 'app.pid'), './app.mjs'];
    const child = spawn('unshare', ['--pid', '--fork', '--mount-proc', process.execPath, ...args], {
      ...{ cwd: site.directory, env: { ...process.env, ...lineage.env, WEB_CONCURRENCY: '1' } },
      stdio: 'ignore',
    });
    await until(() => existsSync(site.control), 'the server');
    await until(async () => (await site.ready()).length === 1, 'its worker');
    assert.equal((await site.status()).arbiter.pid, 1);
    failed(
      await site.ask('upgrade'),
      /^fasticorn: upgrade failed: cannot upgrade: the container ends with this process; use reload .* --takeover\n$/,
    );
    assert.equal(await site.version(), 'one');
    child.kill('SIGKILL');
  });
});

describe('A new arbiter', () => {
  const config = (bind: string[], workers: number) =>
    `export default ${JSON.stringify({ bind: bind.map((path) => `unix:${path}`), workers })};`;

  it('uses the changed config file: new sockets are bound, dropped ones unlinked, and their queues emptied', async (t) => {
    const lineage = new Lineage(t);
    const site = new Site(t);
    const [stays, goes, comes] = ['stays.sock', 'goes.sock', 'comes.sock'].map((name) =>
      join(site.directory, name),
    ) as [string, string, string];
    const trouble = join(site.directory, 'trouble');
    writeFileSync(trouble, '');
    site.write('app.mjs', `export { default } from ${JSON.stringify(app('upgrade-trouble.mjs'))};`);
    // In another order than later: the descriptors' numbers change places.
    site.write('fasticorn.config.mjs', config([goes, stays], 1));
    const server = await site.start(['--control-socket', site.control], {
      ...{ unbound: true, socket: goes },
      env: { ...lineage.env, ...FILE_DECIDES, TROUBLE: trouble },
    });
    const { ino } = lstatSync(stays);
    const changes = changesOf(t, stays);
    const busy = await RawConnection.open(goes);
    busy.get('/slow?ms=2500');
    const idle = await Promise.all(Array.from({ length: 50 }, () => RawConnection.open(goes)));

    site.write('fasticorn.config.mjs', config([stays, comes], 2));
    const upgrade = site.ask('upgrade');
    // What comes all the time until the very end finds an answer, or no socket.
    const answers: string[] = [];
    while (existsSync(goes)) {
      await fetchFrom({ socketPath: goes }, '/version').then(
        ({ body }) => answers.push(body),
        ({ code }) => answers.push(['ENOENT', 'ECONNREFUSED'].includes(code) ? 'fine' : code),
      );
    }
    succeeded(await upgrade);
    for (const connection of idle) connection.get('/version');
    await until(() => idle.every((one) => one.answers === 1), 'the answers to those who waited');
    await until(() => busy.answers === 1, 'the slow answer');
    assert.deepEqual(new Set(answers), new Set(['fine']));
    assert.equal((await server.exited).code, 0);
    for (const socketPath of [stays, comes])
      assert.equal((await fetchFrom({ socketPath }, '/version')).body, 'fine');
    assert.equal(lstatSync(stays).ino, ino);
    assert.equal(changes.count, 0);
    const names = readdirSync(site.directory).filter((name) => name.endsWith('.sock'));
    assert.deepEqual(names.sort(), ['comes.sock', 'stays.sock']);
    // The dropped socket is nobody's any more: one listening descriptor each, as in a new server.
    succeeded(await site.ask('upgrade'));
    await until(() => lineage.arbiters().length === 1, 'one arbiter');
    const { sockets, arbiter } = await site.status();
    assert.equal(listeningDescriptors(arbiter.pid, [stays, comes]), sockets.length);
  });

  it('runs the release that the current link leads to, its fasticorn and its app', async (t) => {
    const lineage = new Lineage(t);
    const site = new Site(t);
    for (const release of ['1.0.1', '1.0.2']) {
      installFasticorn(join(site.directory, release), release);
      site.write(
        `${release}/app.mjs`,
        `export default async (app) => { app.get('/version', async () => '${release}'); };`,
      );
    }
    const current = join(site.directory, 'current');
    const release = (name: string) => {
      rmSync(current, { force: true });
      symlinkSync(name, current);
    };
    const ways: { cwd: string; script: string; app: string }[] = [
      // As `cd current && ./dist/cli.js`, whose real directory the system tells.
      { cwd: current, script: 'dist/cli.js', app: './app.mjs' },
      { cwd: site.directory, script: 'current/dist/cli.js', app: './current/app.mjs' },
      { cwd: '/', script: join(current, 'dist/cli.js'), app: join(current, 'app.mjs') },
    ];
    for (const { cwd, script, app } of ways) {
      release('1.0.1');
      const args = ['-b', `unix:${site.socket}`, '-w', '1', app];
      const first = spawn(process.execPath, [script, ...args], {
        ...{ cwd, env: { ...process.env, ...lineage.env, PWD: cwd }, stdio: 'ignore' as const },
      });
      await until(async () => (await site.ready().catch(() => [])).length === 1, 'the server');
      assert.deepEqual([await site.version(), (await site.status()).arbiter.version], ['1.0.1', '1.0.1']);
      release('1.0.2');
      succeeded(await site.ask('upgrade'));
      await until(() => !isRunning(first.pid!), 'the old arbiter to be gone');
      assert.deepEqual(
        [await site.version(), (await site.status()).arbiter.version],
        ['1.0.2', '1.0.2'],
        script,
      );
      assert.equal((await site.ask('stop')).code, 0);
    }
  });

  const nodes = nodeBinaries();
  const pairs = nodes.flatMap((from) => nodes.filter((to) => to !== from).map((to) => [from, to] as const));
  it('may have code preloaded that says something else to the old one', async (t) => {
    const strays = [
      null,
      'text',
      {},
      { type: 'ready' },
      { type: 'unheard of' },
      { 'watch:import': ['a.mjs'] },
    ];
    const code = `for (const stray of ${JSON.stringify(strays)}) process.send?.(stray)`;
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(code)}`;
    const { site, server, replaced } = await begin(t, ['-w', '1'], { env: { NODE_OPTIONS } });
    succeeded(await site.ask('upgrade'));
    await replaced(server.pid);
    assert.equal((await server.exited).code, 0);
  });

  it('leaves a control socket alone that the old one did not have', async (t) => {
    const scene = await begin(t, ['-w', '1']);
    const shared = ['--control-socket', scene.site.control];
    const other = await startServer(t, app('echo.mjs'), ['-w', '1', ...shared], { env: scene.lineage.env });
    const { ino } = lstatSync(scene.site.control);
    await until(() => /going on without a control socket/.test(other.stderr), 'the warning');
    other.kill('SIGUSR2');
    assert.equal((await other.exited).code, 0);
    assert.equal(lstatSync(scene.site.control).ino, ino);
    assert.equal(await scene.arbiter(), scene.server.pid);
    assert.equal((await fetchFrom({ socketPath: other.socket }, '/')).body, 'hello');
  });

  it('may run another Node, in every direction', {
    skip: pairs.length === 0 && 'needs other Nodes: NODE_BINARIES=/path/to/node:…',
  }, async (t) => {
    const lineage = new Lineage(t);
    const site = new Site(t);
    site.deploy('one');
    // A link that is moved, as an operator would install a new Node.
    const link = join(site.directory, 'node');
    const install = (binary: string) => {
      rmSync(link, { force: true });
      symlinkSync(binary, link);
    };
    for (const [from, to] of pairs) {
      install(to);
      const args = [CLI, '-b', `unix:${site.socket}`, '--node', link, '-w', '1', './app.mjs'];
      const first: ChildProcess = spawn(from, args, {
        ...{ cwd: site.directory, env: { ...process.env, ...lineage.env }, stdio: 'ignore' as const },
      });
      await until(async () => (await site.ready().catch(() => [])).length === 1, `a server of ${from}`);
      const before = (await site.status()).arbiter.node;
      succeeded(await site.ask('upgrade'));
      await until(() => !isRunning(first.pid!), 'the old arbiter to be gone');
      const { node } = (await site.status()).arbiter;
      assert.deepEqual([before, node], [versionOf(from), versionOf(to)]);
      assert.equal(await site.version(), 'one');
      t.diagnostic(`from Node ${before} to ${node}`);
      assert.equal((await site.ask('stop')).code, 0);
    }
  });
});

/** How many descriptors of a process are sockets bound to hidden names of these. */
function listeningDescriptors(pid: number, paths: string[]): number {
  const prefixes = paths.map((path) => join(dirname(path), `.${path.slice(dirname(path).length + 1)}.`));
  const lines = readFileSync('/proc/net/unix', 'utf8').split('\n');
  const inodes = lines
    .filter((line) => prefixes.some((prefix) => line.includes(` ${prefix}`) && !line.includes('.ctl.')))
    .map((line) => line.trim().split(/\s+/)[6]);
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return inodes.some((inode) => readlinkSync(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`);
    } catch {
      return false;
    }
  }).length;
}

function nodeBinaries(): string[] {
  const others = process.env.NODE_BINARIES?.split(':').filter(Boolean) ?? [];
  return [process.execPath, ...others];
}

const versionOf = (binary: string) =>
  spawnSync(binary, ['-p', 'process.versions.node'], { encoding: 'utf8' }).stdout.trim();
