/**
 * What a reload does with changed settings: in effect at once, in the new workers, or only said to need a restart; and
 * with changed addresses: new ones are bound before old ones are given up.
 */
import assert from 'node:assert/strict';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { fasticorn } from './support/command.ts';
import { fetchFrom, type Target } from './support/http.ts';
import { fingerprint, liveServer } from './support/neighbours.ts';
import { accepts, freePort } from './support/port.ts';
import { RawConnection } from './support/raw.ts';
import { app, namesOf, type Server, startServer, until } from './support/server.ts';
import { FILE_DECIDES, Site } from './support/site.ts';

type Settings = Record<string, unknown>;

/** A site whose config file says everything. */
async function begin(t: TestContext, settings: Settings, version = 'one') {
  const site = new Site(t);
  const configure = (changed: Settings) => site.write('fasticorn.config.json', JSON.stringify(changed));
  site.deploy(version);
  configure({ bind: 'unix:app.sock', workers: 1, ...settings });
  const server = await site.start([], { unbound: true, env: FILE_DECIDES });
  /** Reloads with these settings and returns how that went. */
  const reload = async (changed: Settings) => {
    configure({ bind: 'unix:app.sock', workers: 1, ...settings, ...changed });
    return site.ask('reload');
  };
  return { site, server, reload };
}

const warnings = (server: Server) => server.log().flatMap(({ level, msg }) => (level === 40 ? [msg] : []));

describe('a changed setting', () => {
  it('of the number of workers is in effect, also after it was scaled', async (t) => {
    const { site, reload } = await begin(t, {});
    assert.equal((await site.ask('scale', '3')).code, 0);
    await until(async () => (await site.ready()).length === 3, 'three workers');
    assert.equal((await reload({ workers: 2 })).code, 0);
    assert.equal((await site.status()).wanted, 2);
    assert.equal((await site.ready()).length, 2);
  });

  it('of the log is in effect in the arbiter as well', async (t) => {
    const { server, reload } = await begin(t, { logLevel: 'silent' });
    const arbiters = () => server.log().filter(({ pid }) => pid === server.pid);
    assert.deepEqual(arbiters(), []);
    assert.equal((await reload({ logLevel: 'info' })).code, 0);
    assert.equal((await reload({ logLevel: 'info', pretty: false })).code, 0);
    assert.ok(arbiters().some(({ msg }) => msg.startsWith('generation 3 serves')));
    assert.equal((await reload({ logLevel: 'info', pretty: true })).code, 0);
    assert.equal((await reload({ logLevel: 'info', pretty: true })).code, 0);
    assert.match(server.stderr, /^\[[\d:.]+\] INFO: generation 5 serves/m);
  });

  it('of the workers is in effect in the new ones', async (t) => {
    const { site, reload } = await begin(t, { keepAlive: 60 });
    const log = join(site.directory, 'access.log');
    assert.equal((await reload({ keepAlive: 1, accessLogfile: 'access.log' })).code, 0);
    await site.serves('one');
    const connection = await RawConnection.open(site.socket);
    connection.get('/version');
    await until(() => connection.answers === 1, 'the answer');
    assert.match(connection.received, /keep-alive: timeout=1/i);
    await until(() => connection.ended, 'the idle connection to be ended');
    await until(() => /\/version/.test(readFileSync(log, 'utf8')), 'the access log');
    const { settings } = await site.status();
    assert.match(settings.keepAlive!.source, /fasticorn\.config\.json/);
    assert.equal(settings.keepAlive!.value, '1');
  });

  it('that needs a restart is said to, and stays as it was', async (t) => {
    const { site, server, reload } = await begin(t, { socketMode: '0660' });
    const changed = {
      socketMode: '0600',
      pid: 'new.pid',
      errorLogfile: 'error.log',
      controlSocket: 'other.ctl',
    };
    assert.equal((await reload(changed)).code, 0);
    for (const flag of ['socket-mode', 'pid', 'error-logfile']) {
      assert.ok(
        warnings(server).some((line) => line.startsWith(`--${flag} is now`) && /restart/.test(line)),
        flag,
      );
    }
    assert.equal(lstatSync(site.socket).mode & 0o777, 0o660);
    for (const file of ['new.pid', 'error.log', 'other.ctl'])
      assert.ok(!existsSync(join(site.directory, file)), file);
    assert.equal((await site.status()).settings.socketMode!.value, '0660');
  });

  it('to a short --timeout harms nobody who is well', async (t) => {
    const { site, server, reload } = await begin(t, { timeout: 0 });
    assert.equal((await reload({ timeout: 4 })).code, 0);
    const before = await site.ready();
    await until(async () => {
      const worker = (await site.status()).workers.find(({ pid }) => pid === before[0]);
      // The new limit would have been up by then.
      return !worker || worker.age > 6;
    }, 'the new worker to be old enough');
    assert.deepEqual(server.workers(), before);
    assert.deepEqual(await site.ready(), before);
    assert.doesNotMatch(server.stderr, /stuck|blocked|--timeout/);
  });
});

describe('changed addresses', () => {
  it('are there before those that are gone, whose names are removed', async (t) => {
    const { site, server, reload } = await begin(t, { bind: ['unix:a.sock', 'unix:app.sock'] });
    const port = await freePort();
    const a = { socketPath: join(site.directory, 'a.sock') };
    const b = { socketPath: join(site.directory, 'b.sock') };
    const { ino } = lstatSync(site.socket);
    assert.equal(await site.version(a), 'one');
    assert.equal((await reload({ bind: ['unix:app.sock', 'unix:b.sock', `127.0.0.1:${port}`] })).code, 0);
    for (const to of [b, { port }, { socketPath: site.socket }]) assert.equal(await site.version(to), 'one');
    assert.equal(lstatSync(site.socket).ino, ino);
    assert.deepEqual(
      namesOf(site.socket).filter((name) => name.includes('a.sock')),
      [],
    );

    assert.equal((await reload({ bind: 'unix:app.sock' })).code, 0);
    await site.serves('one');
    await until(async () => !(await accepts(port)), 'the port to be free');
    assert.equal(await server.stop(), 0);
    assert.deepEqual(namesOf(site.socket).sort(), ['app.mjs', 'fasticorn.config.json']);
  });

  it('take the control socket with them, to where the command line looks for it', async (t) => {
    const site = new Site(t);
    const bindTo = (bind: string) =>
      site.write('fasticorn.config.json', JSON.stringify({ bind, workers: 1 }));
    site.deploy('one');
    bindTo('unix:a.sock');
    const [a, b] = [join(site.directory, 'a.sock'), join(site.directory, 'b.sock')];
    const options = { socket: a, cwd: site.directory, unbound: true, env: FILE_DECIDES };
    const server = await startServer(t, './app.mjs', [], options);
    await until(() => existsSync(`${a}.ctl`), 'the control socket');
    bindTo('unix:b.sock');
    server.kill('SIGHUP');
    await until(() => existsSync(`${b}.ctl`), 'the control socket at its new place');
    const { code, stdout } = await fasticorn(t, ['status'], { cwd: site.directory });
    assert.deepEqual([code, stdout.includes(`unix:${b}`)], [0, true]);
    await until(() => !existsSync(`${a}.ctl`), 'the old one to be gone');
    assert.equal(await server.stop(), 0);
    assert.deepEqual(readdirSync(site.directory).sort(), ['app.mjs', 'fasticorn.config.json']);
  });

  it('leave the control socket where it is if it cannot be had beside them, and say so', async (t) => {
    const site = new Site(t);
    const bindTo = (bind: string) =>
      site.write('fasticorn.config.json', JSON.stringify({ bind, workers: 1 }));
    site.deploy('one');
    bindTo('unix:app.sock');
    site.write('b.sock.ctl', 'precious');
    const options = { socket: site.socket, cwd: site.directory, unbound: true, env: FILE_DECIDES };
    const server = await startServer(t, './app.mjs', [], options);
    await until(() => existsSync(site.control), 'the control socket');
    bindTo('unix:b.sock');
    assert.equal((await site.ask('reload')).code, 0);
    await until(() => warnings(server).length > 0, 'the warning');
    assert.match(warnings(server)[0]!, /b\.sock\.ctl: .*; the control socket stays \S+app\.sock\.ctl$/);
    assert.equal((await site.status()).arbiter.pid, server.pid);
    assert.equal(await server.stop(), 0);
  });

  it('may be had again a moment later', async (t) => {
    const { site, server, reload } = await begin(t, {});
    const bind = ['unix:app.sock', 'unix:b.sock', `127.0.0.1:${await freePort()}`];
    for (const next of [bind, 'unix:app.sock', bind, 'unix:app.sock', bind]) {
      const { code, stderr } = await reload({ bind: next });
      assert.equal(code, 0, stderr);
    }
    assert.equal(await site.version({ socketPath: join(site.directory, 'b.sock') }), 'one');
    assert.equal(await server.stop(), 0);
    assert.deepEqual(namesOf(site.socket).sort(), ['app.mjs', 'fasticorn.config.json']);
  });

  it('leave nobody behind who waits at a socket that goes', async (t) => {
    const { site, server, reload } = await begin(t, { bind: ['unix:app.sock', 'unix:old.sock'] });
    const [pid] = await site.ready();
    const path = join(site.directory, 'old.sock');
    // The only worker takes nobody now; it will find them after it was told to go.
    process.kill(pid!, 'SIGSTOP');
    const waiting = await Promise.all(Array.from({ length: 200 }, () => RawConnection.open(path)));
    for (const one of waiting) one.get('/token/late');
    const { code, stderr } = await reload({ bind: 'unix:app.sock' });
    process.kill(pid!, 'SIGCONT');
    assert.equal(code, 0, stderr);
    assert.ok(!existsSync(path));
    await until(() => waiting.every(({ answers, ended }) => answers === 1 || ended), 'the answers');
    assert.equal(waiting.filter(({ received }) => received.endsWith('token late')).length, 200);
    for (const one of waiting) one.close();
    assert.equal(await server.stop(), 0);
  });

  const failures: Record<string, (t: TestContext, site: Site) => Promise<{ bind: string; says: RegExp }>> = {
    'a port that is taken': async (t) => {
      const port = await freePort();
      await startServer(
        t,
        app('plain.mjs'),
        ['-w', '1', '-b', `127.0.0.1:${port}`, '--control-socket', 'off'],
        {
          early: true,
        },
      );
      await until(() => accepts(port), 'the other server');
      return { bind: `127.0.0.1:${port}`, says: /the port is taken/ };
    },
    'a path where another server is alive': async (t, site) => {
      await liveServer(t, join(site.directory, 'b.sock'));
      return { bind: 'unix:b.sock', says: /another server is listening there/ };
    },
    'a directory that does not exist': async () => ({ bind: 'unix:no/b.sock', says: /does not exist/ }),
    'a path where a file is': async (_t, site) => {
      site.write('b.sock', 'precious');
      return { bind: 'unix:b.sock', says: /not a socket/ };
    },
  };
  for (const [what, prepare] of Object.entries(failures)) {
    it(`among which is ${what} leave all as it was`, async (t) => {
      const { site, server, reload } = await begin(t, {});
      const { bind, says } = await prepare(t, site);
      const other = join(site.directory, 'b.sock');
      const before = {
        workers: await site.ready(),
        names: namesOf(site.socket).sort(),
        other: existsSync(other) && fingerprint(other),
      };
      const { code, stderr } = await reload({ bind: ['unix:new.sock', bind, 'unix:app.sock'] });
      assert.notEqual(code, 0);
      assert.match(stderr, says);
      assert.deepEqual(
        {
          workers: await site.ready(),
          names: namesOf(site.socket).sort(),
          other: existsSync(other) && fingerprint(other),
        },
        before,
      );
      assert.equal(await site.version(), 'one');
      assert.equal((await reload({ bind: ['unix:new.sock', 'unix:app.sock'] })).code, 0);
      assert.equal(await site.version({ socketPath: join(site.directory, 'new.sock') }), 'one');
      assert.equal(await server.stop(), 0);
    });
  }

  it('with the same port as before, but at more addresses, are said to take a restart', async (t) => {
    const port = await freePort();
    const { site, reload } = await begin(t, { bind: ['unix:app.sock', `127.0.0.1:${port}`] });
    const { code, stderr } = await reload({ bind: ['unix:app.sock', `0.0.0.0:${port}`] });
    assert.equal(code, 1);
    const says = `--bind 0.0.0.0:${port}: this server has the port at 127.0.0.1:${port} until it ends: such a change takes a restart`;
    assert.ok(stderr.includes(says), stderr);
    assert.equal(await site.version(), 'one');
  });

  it('of a generation that fails are not there any more', async (t) => {
    const { site, reload } = await begin(t, {});
    const names = namesOf(site.socket).sort();
    site.write('app.mjs', 'throw new Error("no")');
    assert.notEqual((await reload({ bind: ['unix:b.sock', 'unix:app.sock'] })).code, 0);
    assert.deepEqual(namesOf(site.socket).sort(), names);
    assert.equal(await site.version(), 'one');
  });
});

describe('two Unix sockets and a port at once', () => {
  const forged = {
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-proto': 'https',
    'x-real-ip': '203.0.113.9',
  };

  async function begin(t: TestContext, file: string) {
    const port = await freePort();
    const site = new Site(t);
    const second = join(site.directory, 'second.sock');
    const bind = ['-b', `unix:${site.socket}`, '-b', `127.0.0.1:${port}`, '-b', `unix:${second}`];
    const server = await startServer(t, app(file), bind, { socket: site.socket });
    const unix: Target[] = [{ socketPath: site.socket }, { socketPath: second }];
    return { server, unix, port, second, site };
  }

  it('believe what a proxy says on the sockets, and nothing of it on the port', async (t) => {
    const { server, unix, port } = await begin(t, 'mirror.mjs');
    for (const to of unix) {
      const seen = (await fetchFrom(to, '/', { headers: forged })).json();
      assert.deepEqual([seen.ip, seen.protocol], ['203.0.113.9', 'https']);
    }
    const seen = (await fetchFrom({ port }, '/', { headers: forged })).json();
    assert.deepEqual([seen.ip, seen.protocol], ['127.0.0.1', 'http']);
    assert.doesNotMatch(JSON.stringify(seen), /203\.0\.113\.9|x-forwarded/);
    assert.equal(await server.stop(), 0);
  });

  it('take a WebSocket each', async (t) => {
    const { server, port, second, site } = await begin(t, 'answers.mjs');
    for (const url of [`ws+unix:${site.socket}:/ws`, `ws://127.0.0.1:${port}/ws`, `ws+unix:${second}:/ws`]) {
      const socket = new WebSocket(url);
      const message = await new Promise((resolve, reject) =>
        socket.on('message', resolve).on('error', reject),
      );
      assert.equal(String(message), 'welcome', url);
      socket.terminate();
    }
    assert.equal(await server.stop(), 0);
  });
});
