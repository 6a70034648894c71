/**
 * Scripts that listen by themselves: unmodified, they get the server's sockets whatever they ask for, and the end that
 * they would have had.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn } from './support/command.ts';
import { order, readyWorkers, settled, statusOf } from './support/control.ts';
import { exchange, fetchFrom } from './support/http.ts';
import { load } from './support/load.ts';
import { freePort } from './support/port.ts';
import { RawConnection } from './support/raw.ts';
import { afterwards, app, type Server, startServer, temporaryDirectory, until } from './support/server.ts';

const http = app('script/http.cjs');
const from = (server: Server) => ({ socketPath: server.socket });

describe('a script that listens', () => {
  const ways: [way: string, address: unknown][] = [
    ['3000', { address: '::', family: 'IPv6', port: 3000 }],
    ['text', { address: '127.0.0.1', family: 'IPv4', port: 3000 }],
    ['localhost', { address: '127.0.0.1', family: 'IPv4', port: 3000 }],
    ['any', { address: '::', family: 'IPv6', port: 0 }],
    ['path', '/nowhere/at/all.sock'],
    ['no path', { address: '::', family: 'IPv6', port: 3000 }],
    ['no port', { address: '127.0.0.1', family: 'IPv4', port: 0 }],
    ['fd', { address: '::', family: 'IPv6', port: 0 }],
    ['later', { address: '::', family: 'IPv6', port: 3000 }],
  ];
  for (const [way, address] of ways) {
    it(`is served on our socket, and hears of the address that it asked for: ${way}`, async (t) => {
      const server = await startServer(t, http, ['-w', '1'], { env: { LISTEN: way } });
      const answer = (await fetchFrom(from(server), '/')).json();
      assert.deepEqual([answer.address, answer.heard], [address, true]);
      await until(() => server.stderr.includes('serving a script that listens'), 'the line that says so');
      assert.equal(await server.stop(), 0);
    });
  }

  it('has its arguments after --, and with --app-type script is the main module', async (t) => {
    for (const [args, isMain] of [
      [[], false],
      [['--app-type', 'script'], true],
    ] as const) {
      const server = await startServer(t, http, ['-w', '1', ...args], { appArgs: ['--verbose', 'x'] });
      const answer = (await fetchFrom(from(server), '/')).json();
      assert.deepEqual([answer.argv, answer.isMain], [['--verbose', 'x'], isMain]);
    }
  });

  it('may never come to the end of its loading', async (t) => {
    const server = await startServer(t, app('script/forever.mjs'), ['-w', '1']);
    assert.equal((await fetchFrom(from(server), '/')).body, 'for ever');
    assert.equal(await server.stop(), 0);
  });

  it('is replaced when it fails after that', async (t) => {
    const server = await startServer(t, app('script/forever.mjs'), ['-w', '1'], { env: { FAIL: '1' } });
    const [before] = server.workers();
    await until(() => server.stderr.includes('too late'), 'the error in the log');
    await until(() => server.workers().some((pid) => pid !== before), 'another worker');
  });

  it('is reloaded and stopped without loss, with a line for each request in the access log', async (t) => {
    const server = await startServer(t, http, ['-w', '2']);
    const running = load({ to: from(server), connections: 8, count: 1000, delay: 5 });
    const { code } = await fasticorn(t, ['--bind', `unix:${server.socket}`, 'reload']);
    assert.equal(code, 0);
    const { sent, bad } = await running;
    assert.deepEqual([sent, bad], [1000, []]);
    assert.equal(await server.stop(), 0);
    assert.equal(server.accessLog().filter(({ status }) => status === 200).length, 1000);
  });

  it('has its own handlers for signals called when its requests have their answers', async (t) => {
    const server = await startServer(t, http, ['-w', '1'], { env: { CLEANUP: '1' } });
    const answer = fetchFrom(from(server), '/slow?delay=500');
    await until(() => server.stderr.includes('slow begins'), 'the request in flight');
    // As a terminal does, which signals its whole group.
    for (const pid of server.workers()) process.kill(pid, 'SIGINT');
    server.kill('SIGTERM');
    assert.equal((await answer).status, 200);
    assert.equal((await server.exited).code, 0);
    assert.match(server.stderr, /SIGTERM: cleaning up\nclosed well\n/);
    assert.doesNotMatch(server.stderr, /SIGINT: cleaning/);
  });

  it('is told of, with a line for each request, when it ends as soon as its connections are cut', async (t) => {
    const args = ['-w', '1', '--graceful-timeout', '2'];
    const server = await startServer(t, http, args, { env: { CLEANUP: '1' } });
    const answer = fetchFrom(from(server), '/slow?delay=600000');
    await until(() => server.stderr.includes('slow begins'), 'the request in flight');
    server.kill('SIGTERM');
    await assert.rejects(answer);
    assert.equal((await server.exited).code, 0);
    assert.match(server.stderr, /closed well\n/);
    assert.match(server.stderr, /1 connection had to be cut/);
    assert.deepEqual(
      server.accessLog().map(({ url, status }) => [url, status]),
      [['/slow?delay=600000', 499]],
    );
  });

  it('may end itself by the signal, as signal-exit does, and is not waited for', async (t) => {
    const held = new URL('../src/worker/held-signals.ts', import.meta.url).href;
    const code = `const { HeldSignals } = await import(${JSON.stringify(held)});
      // As a worker has it, for which the arbiter decides.
      process.on('SIGTERM', () => {});
      const signals = new HeldSignals();
      process.once('SIGTERM', () => process.kill(process.pid, 'SIGTERM'));
      setInterval(() => {}, 1000);
      await signals.deliver(600_000);
      process.exit(7);`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      stdio: 'inherit',
    });
    afterwards(t, () => child.kill('SIGKILL'));
    assert.deepEqual(await once(child, 'exit'), [7, null]);
  });

  it('that stops listening by itself is replaced, also while somebody is connected', async (t) => {
    const server = await startServer(t, http, ['-w', '1']);
    const [before] = server.workers();
    const waiting = fetchFrom(from(server), '/?delay=3000');
    await fetchFrom(from(server), '/close');
    await until(() => server.workers().some((pid) => pid !== before), 'another worker');
    await until(() => !server.workers().includes(before!), 'the first to be gone');
    assert.equal((await fetchFrom(from(server), '/')).status, 200);
    assert.equal((await waiting).json().pid, before);
    const [exit] = (await statusOf(server)).exits;
    assert.match(exit!.reason, /^does not listen any more: the app has closed its server$/);
  });

  it('that stops listening as soon as it serves is no code that a reload believes', async (t) => {
    const flag = join(temporaryDirectory(t), 'closes');
    const server = await startServer(t, http, ['-w', '1'], { env: { CLOSES_IF: flag } });
    await settled(server, 1);
    const workers = server.workers();
    writeFileSync(flag, '');
    const { status, json } = await order(server, '/reload');
    assert.equal(status, 409);
    assert.match(String(json().message), /^the app has closed the server that was to be served: /);
    assert.deepEqual(
      (await readyWorkers(server)).map(({ pid }) => pid),
      workers,
    );
    rmSync(flag);
    assert.equal((await order(server, '/reload')).status, 200);
    assert.equal(await server.stop(), 0);
  });
});

describe('a script that does not listen', () => {
  it('ends the start as soon as it has nothing left to do', async (t) => {
    const { code, stderr } = await fasticorn(t, ['--check-config', http], { env: { LISTEN: 'never' } });
    assert.equal(code, 4);
    assert.match(
      stderr,
      /^fasticorn: \S+http\.cjs has no app as its default export, and does not listen; export the app \([^\n]*\), or have it call listen\(\); if it listens only as the main module, say --app-type script\n$/,
    );
  });
});

describe('further ports of a script', () => {
  const ports = async () => ({ MAIN: String(await freePort()), METRICS: String(await freePort()) });

  it('are refused, in one line that says what to do', async (t) => {
    const env = await ports();
    const { code, stderr } = await fasticorn(t, ['--check-config', app('script/ports.mjs')], { env });
    assert.equal(code, 4);
    assert.match(
      stderr,
      new RegExp(`^fasticorn: the app wants to listen on port ${env.METRICS} as well.*\n$`),
    );
    assert.match(stderr, new RegExp(`--adopt ${env.METRICS}=first`));
    assert.match(stderr, new RegExp(`not ${env.MAIN}, say --adopt ${env.MAIN}=first`));
  });

  it('can be those of the first worker, and go over to its successor', async (t) => {
    const env = await ports();
    const args = ['-w', '2', '--adopt', `${env.METRICS}=first`];
    const server = await startServer(t, app('script/ports.mjs'), args, { env });
    const metrics = async () => (await fetchFrom({ port: Number(env.METRICS) }, '/')).body;
    assert.match((await fetchFrom(from(server), '/')).body, /^main \d+$/);
    await until(() => metrics().then(Boolean, () => false), 'the metrics of the first worker');
    const before = await metrics();
    assert.match(before, /^metrics \d+$/);
    await fasticorn(t, ['--bind', `unix:${server.socket}`, 'reload']);
    await until(async () => {
      const now = await metrics().catch(() => before);
      return now !== before && server.workers().includes(Number(now.split(' ')[1]));
    }, 'the metrics of the new first worker');
    assert.equal(await server.stop(), 0);
  });

  it('can be a --bind, which all workers accept on', async (t) => {
    const env = await ports();
    const address = `127.0.0.1:${env.METRICS}`;
    const socket = join(temporaryDirectory(t), 'app.sock');
    const binds = ['--bind', `unix:${socket}`, '--bind', address];
    const args = ['-w', '2', ...binds, '--adopt', `${env.METRICS}=${address}`];
    const server = await startServer(t, app('script/ports.mjs'), args, { env, socket });
    assert.match((await fetchFrom(from(server), '/')).body, /^main \d+$/);
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => fetchFrom({ port: Number(env.METRICS) }, '/')),
    );
    assert.ok(answers.every(({ body }) => body.startsWith('metrics ')));
    assert.equal(await server.stop(), 0);
  });

  it('can all be closed by its own handlers for signals', async (t) => {
    const env = { ...(await ports()), CLEANUP: '1' };
    const socket = join(temporaryDirectory(t), 'app.sock');
    const binds = ['--bind', `unix:${socket}`, '--bind', `unix:${socket}.metrics`];
    const args = ['-w', '1', ...binds, '--adopt', `${env.METRICS}=unix:${socket}.metrics`];
    const server = await startServer(t, app('script/ports.mjs'), args, { env, socket });
    assert.equal(await server.stop(), 0);
    assert.match(server.stderr, /^all closed well$/m);
    assert.doesNotMatch(server.stderr, /ERR_SERVER_NOT_RUNNING/);
  });

  it('that the first worker has are drained as well, and trust no forwarding header', async (t) => {
    const { METRICS } = await ports();
    const args = ['-w', '1', '--adopt', `${METRICS}=first`];
    const server = await startServer(t, app('script/side-servers.mjs'), args, { env: { METRICS } });
    const metrics = { port: Number(METRICS) };
    const spoofed = await fetchFrom(metrics, '/', { headers: { 'x-forwarded-for': '6.6.6.6' } });
    assert.equal(spoofed.json().forwarded, null);
    const slow = fetchFrom(metrics, '/slow');
    await until(() => server.stderr.includes('slow begins'), 'the request in flight');
    await fasticorn(t, ['--bind', `unix:${server.socket}`, 'reload']);
    assert.equal((await slow).json().pid, spoofed.json().pid);
    assert.equal(await server.stop(), 0);
  });

  it('are none where a server listens on a path of its own', async (t) => {
    const { METRICS } = await ports();
    const RAW = join(temporaryDirectory(t), 'raw');
    const args = ['-w', '1', '--adopt', `${METRICS}=first`];
    const server = await startServer(t, app('script/side-servers.mjs'), args, { env: { METRICS, RAW } });
    const [pid] = server.workers();
    assert.equal(await exchange({ socketPath: `${RAW}.${pid}` }, 'hello'), 'raw');
  });

  it('of another server than the one that is exported are not taken for that', async (t) => {
    const { METRICS } = await ports();
    const file = app('script/exports-and-listens.mjs');
    const bind = `unix:${join(temporaryDirectory(t), 'app.sock')}`;
    const { code, stderr } = await fasticorn(t, ['-w', '1', '--bind', bind, file], { env: { METRICS } });
    assert.equal(code, 4);
    assert.match(stderr, new RegExp(`"msg":"the app wants to listen on port ${METRICS} as well`));
    const server = await startServer(t, file, ['-w', '1', '--adopt', `${METRICS}=first`], {
      env: { METRICS },
    });
    assert.equal((await fetchFrom(from(server), '/')).body, 'main');
    assert.equal((await fetchFrom({ port: Number(METRICS) }, '/')).body, 'metrics');
  });

  /** A server whose app has another one on a second `--bind`, as often as it is asked to. */
  async function startLater(t: TestContext) {
    const { METRICS } = await ports();
    const socket = join(temporaryDirectory(t), 'app.sock');
    const binds = ['--bind', `unix:${socket},unix:${socket}.metrics`];
    const args = ['-w', '1', ...binds, '--adopt', `${METRICS}=unix:${socket}.metrics`];
    const server = await startServer(t, app('script/later-server.mjs'), args, { env: { METRICS }, socket });
    assert.equal((await fetchFrom(from(server), '/later')).body, 'listening');
    return { server, socket };
  }

  it('of another server than the one that is exported are named where they are some', async (t) => {
    for (const [METRICS, where] of [
      ['0', ' on port 0'],
      ['/nowhere/metrics.sock', ''],
    ] as const) {
      const bind = `unix:${join(temporaryDirectory(t), 'app.sock')}`;
      const file = app('script/exports-and-listens.mjs');
      const { code, stderr } = await fasticorn(t, ['-w', '1', '--bind', bind, file], { env: { METRICS } });
      assert.equal(code, 4);
      const reason = `the app exports a server, but another one listened before it${where} and has its sockets: `;
      assert.ok(stderr.includes(reason), stderr);
      assert.doesNotMatch(stderr, /--adopt/);
    }
  });

  it('may be a --bind long after the start, where it is an error of the app if it cannot listen', async (t) => {
    const { server } = await startLater(t);
    // No answer comes, as that server never listens.
    fetchFrom(from(server), '/later').catch(() => {});
    const message = /^--bind unix:\S+metrics: cannot listen/;
    await until(
      () => server.log().some(({ level, err }) => level === 60 && message.test(Object(err).message)),
      'the error in the log',
    );
  });

  it('may be a --bind long after the start, and are drained as any other', async (t) => {
    const { server, socket } = await startLater(t);
    const old = server.workers();
    const idle = await RawConnection.open(socket);
    idle.get('/');
    await until(() => idle.answers === 1, 'an answer');
    const slow = fetchFrom(from(server), '/slow');
    await until(() => server.stderr.includes('slow begins'), 'the request in flight');
    await fasticorn(t, ['--bind', `unix:${socket}`, 'reload']);
    for (let sent = 2; !/connection: close/i.test(idle.received); sent++) {
      idle.get('/');
      await until(() => idle.answers === sent, 'the answer of the worker that retires');
    }
    // Nobody accepts there now, so it waits in the queue.
    const queued = fetchFrom({ socketPath: `${socket}.metrics` }, '/');
    await slow;
    await until(() => !server.workers().some((pid) => old.includes(pid)), 'the old worker to be gone');
    await fetchFrom(from(server), '/later');
    assert.equal((await queued).body, `metrics ${server.workers()[0]}`);
    assert.equal(await server.stop(), 0);
  });

  it('may be a --bind by a relative path', async (t) => {
    const env = await ports();
    const cwd = temporaryDirectory(t);
    const args = [
      '-w',
      '1',
      '--bind',
      'unix:app.sock,unix:metrics.sock',
      '--adopt',
      `${env.METRICS}=unix:metrics.sock`,
    ];
    const socket = join(cwd, 'app.sock');
    await startServer(t, app('script/ports.mjs'), args, { env, cwd, socket });
    await until(() => existsSync(join(cwd, 'metrics.sock')), 'the other socket');
    assert.match((await fetchFrom({ socketPath: join(cwd, 'metrics.sock') }, '/')).body, /^metrics/);
    assert.match((await fetchFrom({ socketPath: socket }, '/')).body, /^main/);
  });

  it('must leave the app a --bind, and be one', async (t) => {
    for (const [address, reason] of [
      [
        '127.0.0.1:8001',
        'expected the address of a --bind, but 127.0.0.1:8001 is none of those that are bound (127.0.0.1:8000)',
      ],
      ['127.0.0.1:8000', 'expected one --bind at least to stay for the first port of the app'],
    ]) {
      const args = ['--bind', '127.0.0.1:8000', '--adopt', `9090=${address}`, '--check-config', http];
      const { code, stderr } = await fasticorn(t, args);
      assert.equal(code, 1);
      assert.equal(stderr, `fasticorn: --adopt: "9090=${address}" is not valid: ${reason}\n`);
    }
  });
});

describe('node:cluster in a script', () => {
  it('shows it a worker, and does not disturb its UDP sockets', async (t) => {
    const server = await startServer(t, app('script/cluster.mjs'), ['-w', '2']);
    const { body } = await fetchFrom(from(server), '/');
    assert.match(body, /^worker [12], UDP true$/);
    assert.equal(server.workers().length, 2);
    assert.doesNotMatch(server.stderr, /cluster\.fork/);
  });

  it('forks nothing, and says so once', async (t) => {
    const server = await startServer(t, app('script/cluster.mjs'), ['-w', '1'], { env: { FORKS: '1' } });
    assert.equal(server.workers().length, 1);
    const lines = server.log().filter(({ msg }) => msg.startsWith('cluster.fork() does nothing here'));
    assert.equal(lines.length, 1);
  });
});
