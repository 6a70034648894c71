/**
 * The verbs on a running server: over its control socket and on the command line, which finds the server as the
 * server was started; what is refused, and what people are told.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Status } from '../src/status.ts';
import { fasticorn } from './support/command.ts';
import { controlOf, look, order, settled, statusOf } from './support/control.ts';
import { fetchFrom } from './support/http.ts';
import { deadSocket } from './support/neighbours.ts';
import { hindrance, NOBODY } from './support/other-user.ts';
import { freePort } from './support/port.ts';
import { RawConnection } from './support/raw.ts';
import {
  app,
  CLI,
  isRunning,
  type Server,
  startServer,
  temporaryDirectory,
  until,
} from './support/server.ts';

const start = async (t: TestContext, args: readonly string[] = [], workers = 1) => {
  const server = await startServer(t, app('echo.mjs'), ['-w', String(workers), ...args]);
  return server;
};

const ask = (t: TestContext, server: Server, ...args: string[]) =>
  fasticorn(t, [...args, '-b', `unix:${server.socket}`]);

const line = (text: string) => {
  assert.match(text, /^fasticorn: [^\n]+\n$/);
  return text;
};

describe('The control socket', () => {
  it('is beside the socket, for the same user alone, and goes with the server', async (t) => {
    const server = await start(t);
    await settled(server, 1);
    assert.equal(statSync(`${server.socket}.ctl`).mode & 0o7777, 0o600);
    assert.equal(await server.stop(), 0);
    assert.equal(existsSync(`${server.socket}.ctl`), false);
  });

  it('may be elsewhere', async (t) => {
    const path = join(temporaryDirectory(t), 'control');
    const server = await start(t, ['--control-socket', path]);
    await until(() => existsSync(path), 'the control socket');
    assert.equal(existsSync(`${server.socket}.ctl`), false);
    assert.equal((await fasticorn(t, ['status', '--control-socket', path])).code, 0);
    assert.equal(await server.stop(), 0);
    assert.equal(existsSync(path), false);
  });

  it('may be off', async (t) => {
    const server = await start(t, ['--control-socket', 'off']);
    assert.equal((await fetchFrom({ socketPath: server.socket }, '/')).body, 'hello');
    assert.equal(existsSync(`${server.socket}.ctl`), false);
    const { code, stderr } = await fasticorn(t, ['status', '--control-socket', 'off']);
    assert.equal(code, 1);
    assert.match(line(stderr), /the control socket is off .*--pid FILE/);
    assert.equal(server.log().filter(({ level }) => level > 30).length, 0);
    assert.equal(await server.stop(), 0);
  });

  for (const [what, path, prepare] of [
    ['in a directory that is not there', 'missing/ctl', () => {}],
    ['where a file of somebody else is', 'file', (file: string) => writeFileSync(file, 'precious')],
    ['where a directory is', 'directory', (file: string) => mkdirSync(file)],
  ] as const) {
    it(`that cannot be made, ${what}, is one warning, and the server serves`, async (t) => {
      const file = join(temporaryDirectory(t), path);
      prepare(file);
      const server = await start(t, ['--control-socket', file]);
      const warnings = () => server.log().filter(({ level }) => level > 30);
      await until(() => warnings().length > 0, 'the warning');
      assert.equal((await fetchFrom({ socketPath: server.socket }, '/')).body, 'hello');
      const { level, msg } = warnings()[0]!;
      assert.equal(level, 40);
      assert.ok(msg.startsWith(`--control-socket ${file}: `), msg);
      assert.match(msg, /; going on without a control socket$/);
      assert.equal(await server.stop(), 0);
      assert.equal(warnings().length, 1);
      if (path === 'file') assert.equal(readFileSync(file, 'utf8'), 'precious');
      else assert.equal(existsSync(file), path === 'directory');
    });
  }

  it('of a killed server is replaced by the next one', async (t) => {
    const server = await start(t);
    await settled(server, 1);
    await deadSocket(`${server.socket}.2.ctl`);
    const next = await startServer(t, app('echo.mjs'), ['-w', '1'], { socket: `${server.socket}.2` });
    await settled(next, 1);
    assert.equal(await next.stop(), 0);
    assert.equal(await server.stop(), 0);
  });

  it('without a Unix socket is named after the pid, and verbs say what to do', async (t) => {
    const bind = ['-b', `127.0.0.1:${await freePort()}`];
    const server = await startServer(t, app('echo.mjs'), ['-w', '1', ...bind], { early: true });
    const path = `/tmp/fasticorn-${server.pid}.ctl`;
    await until(() => existsSync(path), 'the control socket');
    assert.equal((await fasticorn(t, ['status', '--control-socket', path])).code, 0);
    const { code, stderr } = await fasticorn(t, ['status', ...bind]);
    assert.equal(code, 1);
    assert.match(line(stderr), /--control-socket \/tmp\/fasticorn-<its pid>\.ctl, or --pid FILE/);
    assert.equal(await server.stop(), 0);
    assert.equal(existsSync(path), false);
  });

  it('takes every verb by POST, and says what it has done', async (t) => {
    const server = await start(t);
    await settled(server, 1);
    for (const [path, message] of [
      ['/reopen', /opened anew/],
      ['/scale/+1', /2 workers wanted, instead of 1/],
      ['/scale/%2B1', /3 workers wanted/],
      ['/pause', /^paused/],
      ['/resume', /^resumed/],
      ['/resume', /^not paused/],
      ['/reload', /^generation 2 serves with 1 worker/],
      ['/stop', /stopped/],
    ] as const) {
      const { status, json } = await order(server, path);
      assert.deepEqual([status, json().ok], [200, true], path);
      assert.match(json().message as string, message);
    }
    assert.equal((await server.exited).code, 0);
  });

  it('returns at once from what takes a while if it is asked to', async (t) => {
    const server = await start(t);
    await settled(server, 1);
    assert.equal((await order(server, '/reload?wait=no')).status, 202);
    await until(async () => (await statusOf(server)).generation.current === 2, 'the reload');
    assert.equal((await order(server, '/stop?wait=no')).status, 202);
    assert.equal((await server.exited).code, 0);
  });

  it('refuses what it does not know, or by another method, and changes nothing', async (t) => {
    const server = await start(t);
    await settled(server, 1);
    const workers = server.workers();
    for (const [path, expected] of [
      ['/', 404],
      ['/stopp', 404],
      ['/scale', 400],
      ['/scale/many', 400],
      ['/stop/later', 400],
      ['/pause/now', 400],
      ['/reload/1/2', 404],
      ['/%zz', 400],
      ['/status', 405],
      ['/healthz', 405],
    ] as const) {
      const { status, json } = await order(server, path);
      assert.deepEqual([status, json().ok], [expected, false], path);
    }
    for (const verb of ['reload', 'upgrade', 'scale/1', 'pause', 'resume', 'reopen', 'stop'])
      assert.equal((await look(server, `/${verb}`)).status, 405, verb);
    assert.deepEqual(server.workers(), workers);
    assert.equal((await statusOf(server)).arbiter.phase, 'serving');
    assert.equal(await server.stop(), 0);
  });

  it('refuses all but a stop while the server stops', async (t) => {
    const server = await start(t);
    await settled(server, 1);
    const slow = fetchFrom({ socketPath: server.socket }, '/token/x?delay=3000');
    await until(async () => (await statusOf(server)).workers[0]!.inFlight === 1, 'a request in flight');
    const stopped = order(server, '/stop');
    await until(async () => (await statusOf(server)).arbiter.phase === 'stopping', 'the stop');
    for (const verb of ['reload', 'upgrade', 'scale/3', 'pause', 'resume', 'reopen']) {
      const { status, json } = await order(server, `/${verb}`);
      assert.deepEqual([status, json().message], [409, 'the server is stopping'], verb);
    }
    assert.equal((await look(server, '/readyz')).status, 503);
    assert.equal((await slow).body, 'token x');
    assert.equal((await stopped).status, 200);
    assert.equal((await server.exited).code, 0);
  });
});

describe('fasticorn status', () => {
  it('shows every number there is, for people and for programs', async (t) => {
    const directory = temporaryDirectory(t);
    const [marks, enough] = [join(directory, 'marks'), join(directory, 'enough')];
    writeFileSync(marks, '');
    const server = await startServer(t, app('lifecycle.mjs'), ['-w', '2', '--timeout', '20'], {
      env: { MARKS: marks },
    });
    await settled(server, 2);
    const target = { socketPath: server.socket };
    for (let n = 0; n < 10; n++) await fetchFrom(target, '/');
    // One after the other, each by who is still free; who comes next has to wait.
    const blocked = [];
    for (const text of ['block\n', 'block\nblock\n']) {
      blocked.push(fetchFrom(target, `/block?until=${enough}`));
      await until(() => readFileSync(marks, 'utf8') === text, 'a worker to be blocked');
    }
    blocked.push(fetchFrom(target, '/'));
    await until(async () => (await statusOf(server)).sockets[0]!.queue! > 0, 'somebody to wait');
    const { code, stdout, stderr } = await ask(t, server, 'status', '--json');
    assert.deepEqual([code, stderr], [0, '']);
    const { arbiter, wanted, generation, workers, exits, sockets, settings } = JSON.parse(stdout) as Status;
    assert.equal(arbiter.pid, server.pid);
    assert.equal(arbiter.node, process.versions.node);
    assert.match(arbiter.version, /^\d+\.\d+\.\d+/);
    assert.ok(arbiter.app.endsWith('lifecycle.mjs') && arbiter.uptime > 0.1 && arbiter.uptime < 600);
    assert.deepEqual([arbiter.phase, wanted, generation], ['serving', 2, { current: 1, next: null }]);
    assert.ok(arbiter.rss > 20e6 && arbiter.rss < 1e9);
    assert.match(arbiter.pidNamespace ?? '', /^pid:\[\d+\]$/);
    assert.deepEqual(exits, []);
    assert.equal(sockets.length, 1);
    assert.equal(sockets[0]!.address, `unix:${server.socket}`);
    assert.ok(sockets[0]!.queue! > 0 && sockets[0]!.limit! >= 128);
    assert.deepEqual(
      workers.map(({ worker, generation: own, phase }) => [worker, own, phase]),
      [
        [1, 1, 'ready'],
        [2, 1, 'ready'],
      ],
    );
    assert.deepEqual(workers.map(({ pid }) => pid).sort(), server.workers().sort());
    for (const { age, rss, heap, utilization, delay } of workers) {
      assert.ok(age > 0 && rss! > 20e6 && heap! > 1e6 && heap! < rss!);
      assert.ok(utilization! >= 0 && utilization! <= 1 && delay! >= 0);
    }
    assert.deepEqual(settings.workers, { value: '2', source: 'flag -w' });
    assert.deepEqual(settings.timeout, { value: '20', source: 'flag --timeout' });
    writeFileSync(enough, '');
    await Promise.all(blocked);
    // The beats that follow tell of it.
    await until(async () => {
      const { workers: now } = await statusOf(server);
      const sum = now.reduce((all, { requests = 0 }) => all + requests, 0);
      return sum === 10 + blocked.length && now.every(({ inFlight }) => inFlight === 0);
    }, 'the beats to tell of all requests');
    const table = (await ask(t, server, 'status')).stdout;
    assert.match(table, /^fasticorn \d.* serving {2}up .* generation 1\n/);
    assert.match(table, /unix:.*app\.sock {2}queue 0 of \d+\n/);
    for (const pid of server.workers()) assert.match(table, new RegExp(`^ +[12] +1 +${pid} {2}ready `, 'm'));
    assert.equal(await server.stop(), 0);
  });

  it('tells the health by its exit code', async (t) => {
    const server = await start(t);
    await settled(server, 1);
    assert.equal((await ask(t, server, 'status')).code, 0);
    await order(server, '/pause');
    await until(() => server.workers().length === 0, 'the pause');
    assert.equal((await ask(t, server, 'status', '--json')).code, 1);
    await order(server, '/resume');
    await settled(server, 1);
    assert.equal((await ask(t, server, 'status', '--json')).code, 0);
    assert.equal(await server.stop(), 0);
    assert.equal((await ask(t, server, 'status')).code, 1);
  });
});

describe('A verb on the command line', () => {
  it('finds the server by the flags, the variables or the config file that it was started with', async (t) => {
    const cwd = temporaryDirectory(t);
    const socket = join(cwd, 'app.sock');
    const config = join(cwd, 'fasticorn.config.json');
    writeFileSync(config, JSON.stringify({ bind: 'unix:app.sock' }));
    const server = await startServer(t, app('echo.mjs'), ['-c', config, '--bind', `unix:${socket}`], {
      socket,
      cwd,
    });
    await settled(server, 2);
    const env = { FASTICORN_BIND: `unix:${socket}` };
    for (const [args, options] of [
      [['-b', `unix:${socket}`], {}],
      [['--control-socket', `${socket}.ctl`], {}],
      [[], { cwd }],
      [['-c', config], { cwd }],
      [[], { env }],
      [[], { env: { FASTICORN_CONTROL_SOCKET: `${socket}.ctl` } }],
    ] as const) {
      const { code, stderr } = await fasticorn(t, ['status', ...args], options);
      assert.deepEqual([code, stderr], [0, ''], JSON.stringify([args, options]));
    }
    assert.equal(await server.stop(), 0);
  });

  it('needs no config file if the flags say where the server is', async (t) => {
    const cwd = temporaryDirectory(t);
    const pid = join(cwd, 'pid');
    const server = await start(t, ['-p', pid]);
    await settled(server, 1);
    writeFileSync(join(cwd, 'fasticorn.config.json'), '{ "workers": ');
    const { code, stderr } = await fasticorn(t, ['status'], { cwd });
    assert.equal(code, 1);
    assert.match(line(stderr), /fasticorn\.config\.json/);
    assert.equal(
      (await fasticorn(t, ['status', '--control-socket', `${server.socket}.ctl`], { cwd })).code,
      0,
    );
    assert.equal((await fasticorn(t, ['reopen', '--pid', pid], { cwd })).code, 0);
    assert.equal((await fasticorn(t, ['stop', '--control-socket', `${server.socket}.ctl`], { cwd })).code, 0);
    assert.equal((await server.exited).code, 0);
  });

  it('works in a directory that was deleted, where nothing can be served', async (t) => {
    const server = await start(t, []);
    await settled(server, 1);
    const gone = (...args: string[]) => {
      const directory = temporaryDirectory(t);
      const script = 'cd "$0" && rmdir "$0" && exec "$@"';
      return spawnSync('sh', ['-c', script, directory, process.execPath, CLI, ...args], { encoding: 'utf8' });
    };
    const served = gone('-b', `unix:${server.socket}.other`, app('echo.mjs'));
    assert.equal(served.status, 1);
    assert.match(line(served.stderr), /the working directory \S+ (has been deleted|does not exist)/);
    const stopped = gone('stop', '--control-socket', controlOf(server));
    assert.equal(stopped.status, 0, stopped.stderr);
    assert.equal((await server.exited).code, 0);
  });

  it('sends the signal that stands for it with --pid', async (t) => {
    const pid = join(temporaryDirectory(t), 'pid');
    const server = await start(t, ['-p', pid]);
    await settled(server, 1);
    const by = (...args: string[]) => fasticorn(t, [...args, '--pid', pid]);
    assert.equal((await by('scale', '+1')).stdout, `SIGTTIN was sent to pid ${server.pid}\n`);
    await settled(server, 2);
    assert.equal((await by('scale', '-1')).stdout, `SIGTTOU was sent to pid ${server.pid}\n`);
    await settled(server, 1);
    assert.equal(
      (await by('reload')).stdout,
      `SIGHUP was sent to pid ${server.pid}; what becomes of it is in its log: --bind or --control-socket would wait\n`,
    );
    await until(async () => (await statusOf(server)).generation.current === 2, 'the reload');
    for (const verb of [['scale', '3'], ['resume'], ['status']]) {
      const { code, stderr } = await by(...verb);
      assert.equal(code, 1);
      assert.match(line(stderr), /there is no signal for .*: use --control-socket, or --bind/);
    }
    assert.equal((await by('stop', '--now')).stdout, `SIGINT was sent to pid ${server.pid}\n`);
    assert.equal((await server.exited).code, 0);
    assert.match(line((await by('stop')).stderr), /there is no such file; is the server running\?/);
  });

  it('stop returns when the server has gone, with all that was in flight answered', async (t) => {
    const pid = join(temporaryDirectory(t), 'pid');
    const server = await start(t, ['-p', pid]);
    await settled(server, 1);
    const workers = server.workers();
    const slow = fetchFrom({ socketPath: server.socket }, '/token/slow?delay=1500');
    await until(async () => (await statusOf(server)).workers[0]!.inFlight === 1, 'a request in flight');
    assert.equal((await ask(t, server, 'stop')).code, 0);
    assert.deepEqual([server.socket, `${server.socket}.ctl`, pid].filter(existsSync), []);
    // Its process gives the answer just before it ends.
    await server.exited;
    assert.deepEqual([server.pid, ...workers].filter(isRunning), []);
    assert.equal((await slow).body, 'token slow');
  });

  it('stop --now does not wait for requests', async (t) => {
    const server = await start(t);
    await settled(server, 1);
    const connection = await RawConnection.open(server.socket);
    connection.get('/token/slow?delay=20000');
    await until(async () => (await statusOf(server)).workers[0]!.inFlight === 1, 'a request in flight');
    assert.equal((await ask(t, server, 'stop', '--now')).code, 0);
    assert.equal((await server.exited).code, 0);
    assert.equal(connection.answers, 0);
  });

  it('wins over an app of that name, which ./ makes an app again', async (t) => {
    const cwd = temporaryDirectory(t);
    writeFileSync(
      join(cwd, 'status.mjs'),
      `export default async (app) => app.get('/', async () => 'an app')`,
    );
    mkdirSync(join(cwd, 'status'));
    writeFileSync(join(cwd, 'status', 'index.mjs'), readFileSync(join(cwd, 'status.mjs')));
    assert.match(
      line((await fasticorn(t, ['status', '-b', 'unix:no.sock'], { cwd })).stderr),
      /no server is running/,
    );
    const { code, stderr } = await fasticorn(t, ['--check-config', './status/index.mjs'], { cwd });
    assert.deepEqual([code, stderr], [0, '']);
    const named = await fasticorn(t, ['--check-config', './status'], { cwd });
    assert.doesNotMatch(named.stderr, /no server is running/);
  });
});

describe('Who asks in vain is told why, in one line:', () => {
  it('no server', async (t) => {
    const path = join(temporaryDirectory(t), 'no.sock');
    const { code, stdout, stderr } = await fasticorn(t, ['stop', '-b', `unix:${path}`]);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(line(stderr), /no server is running behind .*no\.sock\.ctl: there is no such socket/);
  });

  it('a socket that a killed server has left', async (t) => {
    const path = join(temporaryDirectory(t), 'dead.ctl');
    await deadSocket(path);
    const { code, stderr } = await fasticorn(t, ['reload', '--control-socket', path]);
    assert.equal(code, 1);
    assert.match(line(stderr), /no server is running behind .*dead\.ctl: nobody listens there/);
  });

  it('the socket of the app, in place of the control socket', async (t) => {
    const server = await start(t, []);
    for (const verb of ['status', 'reload']) {
      const { code, stderr } = await fasticorn(t, [verb, '--control-socket', server.socket]);
      assert.equal(code, 1);
      assert.match(line(stderr), /is not a fasticorn's control socket/);
    }
    assert.equal(await server.stop(), 0);
  });

  it('a command that is misspelt, which starts no server', async (t) => {
    const { code, stderr } = await fasticorn(t, ['relaod'], { cwd: temporaryDirectory(t) });
    assert.equal(code, 1);
    assert.match(line(stderr), /there is no app "relaod"; did you mean the command reload\?/);
  });

  for (const [word, meant] of [
    ['restart', 'the command reload, or upgrade for a new Node or fasticorn'],
    ['help', '--help'],
    ['start', 'fasticorn APP, without start'],
  ] as const) {
    it(`a command of other servers, ${word}, also where a server runs`, async (t) => {
      const server = await start(t, []);
      const args = ['-b', `unix:${server.socket}`, word];
      const { code, stderr } = await fasticorn(t, args, { cwd: temporaryDirectory(t) });
      assert.equal(code, 1);
      assert.equal(stderr, `fasticorn: there is no app "${word}"; did you mean ${meant}?\n`);
      assert.equal(await server.stop(), 0);
    });
  }

  it('but no word that an app is called by', async (t) => {
    const directory = temporaryDirectory(t);
    writeFileSync(join(directory, 'start.mjs'), 'export default async (app) => {};');
    const { code, stdout } = await fasticorn(t, ['--check-config', 'start'], { cwd: directory });
    assert.equal(code, 0);
    assert.match(stdout, /start loads: a Fastify 5 plugin/);
  });

  it('an app that is not there and is called much like a command; one that is there is served', async (t) => {
    const directory = temporaryDirectory(t);
    const check = () => fasticorn(t, ['--check-config', 'stats'], { cwd: directory });
    assert.match(line((await check()).stderr), /there is no app "stats"; did you mean the command status\?/);
    writeFileSync(join(directory, 'stats.mjs'), 'export default async (app) => {};');
    const { code, stderr } = await check();
    assert.equal(code, 0, stderr);
  });

  it('a flag that a reload cannot change, which is said', async (t) => {
    const server = await start(t, []);
    await settled(server, 1);
    const { code, stderr } = await fasticorn(t, ['reload', '-w', '8', '-b', `unix:${server.socket}`]);
    assert.equal(code, 0);
    assert.match(line(stderr), /-w changes nothing with reload/);
    await settled(server, 1);
    assert.equal(await server.stop(), 0);
  });

  it('a pid file of nobody', async (t) => {
    const gone = spawn('true');
    await once(gone, 'exit');
    const path = join(temporaryDirectory(t), 'pid');
    writeFileSync(path, `${gone.pid}\n`);
    assert.match(
      line((await fasticorn(t, ['stop', '--pid', path])).stderr),
      /no fasticorn is running with pid/,
    );
  });

  it('the server of another user', async (t) => {
    const reason = await hindrance(t);
    if (reason) return t.skip(reason);
    const pid = join(temporaryDirectory(t), 'pid');
    const server = await start(t, ['-p', pid]);
    await settled(server, 1);
    const options = { uid: NOBODY, cwd: dirname(server.socket) };
    const bySocket = await fasticorn(t, ['stop', '-b', `unix:${server.socket}`], options);
    assert.equal(bySocket.code, 1);
    assert.match(line(bySocket.stderr), /only the user who runs the server may ask it \(EACCES\)/);
    const byPid = await fasticorn(t, ['stop', '--pid', pid], options);
    assert.equal(byPid.code, 1);
    assert.match(line(byPid.stderr), /cannot be sent SIGTERM \(EPERM\)/);
    assert.equal((await fetchFrom({ socketPath: server.socket }, '/')).body, 'hello');
    assert.equal(await server.stop(), 0);
  });
});
