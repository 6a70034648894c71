/**
 * How the server stops: TERM loses nothing, INT and QUIT are quick, and both end with exit code 0.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { readyWorkers, settled } from './support/control.ts';
import { fetchFrom, startOnPort } from './support/http.ts';
import { load } from './support/load.ts';
import { accepts } from './support/port.ts';
import { RawConnection } from './support/raw.ts';
import {
  app,
  interruptAgain,
  isRunning,
  type Server,
  startServer,
  temporaryDirectory,
  until,
} from './support/server.ts';

/** Starts the lifecycle app; `marks()` tells what its handlers and hooks have done so far. */
async function start(t: TestContext, args: string[] = [], env: Record<string, string> = {}) {
  const file = join(temporaryDirectory(t), 'marks');
  writeFileSync(file, '');
  const server = await startServer(t, app('lifecycle.mjs'), args, { env: { MARKS: file, ...env } });
  await settled(server, 2);
  const marks = (name: string) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line === name).length;
  return { server, marks };
}

/** Sends TERM and waits until the arbiter has acted on it. */
async function term(server: Server): Promise<void> {
  server.kill('SIGTERM');
  await until(() => !existsSync(server.socket), 'the name to be gone');
}

describe('TERM', () => {
  it('lets requests in flight finish and exits with 0', async (t) => {
    const { server, marks } = await start(t);
    const connection = await RawConnection.open(server.socket);
    connection.get('/slow?ms=1500');
    await until(() => marks('slow') === 1, 'the request to be in flight');
    await term(server);
    assert.deepEqual(await server.exited, { code: 0, signal: null });
    assert.match(connection.received, /^HTTP\/1\.1 200 OK\r\n.*\r\nconnection: close\r\n.*slow$/is);
  });

  it('runs onClose once in each worker', async (t) => {
    const { server, marks } = await start(t);
    assert.equal(await server.stop(), 0);
    assert.equal(marks('onClose'), 2);
  });

  it('answers every one of 1,000 connections that waited in the accept queue', async (t) => {
    const { server, marks } = await start(t);
    const enough = join(temporaryDirectory(t), 'enough');
    const blockers = [];
    while (marks('block') < 2) {
      const before = marks('block');
      const blocker = await RawConnection.open(server.socket);
      blocker.get(`/block?until=${enough}`);
      blockers.push(blocker);
      await until(() => marks('block') > before, 'a worker to be blocked');
    }
    const waiting = await Promise.all(Array.from({ length: 1000 }, () => RawConnection.open(server.socket)));
    for (const connection of waiting) connection.post('/body', 'queued');
    await term(server);
    writeFileSync(enough, '');
    assert.equal((await server.exited).code, 0);
    assert.equal(waiting.filter(({ received }) => received.endsWith('\r\n\r\nqueued')).length, 1000);
    assert.equal(blockers.filter(({ received }) => received.endsWith('blocked')).length, 2);
  });

  it('loses none of the requests that were accepted under load', async (t) => {
    const server = await startServer(t, app('echo.mjs'));
    const enough = new AbortController();
    const running = load({
      to: { socketPath: server.socket },
      connections: 32,
      delay: 5,
      signal: enough.signal,
    });
    await until(() => server.accessLog().length > 500, 'the load to be under way');
    assert.equal(await server.stop(), 0);
    enough.abort();
    const result = await running;
    assert.deepEqual(result.bad, []);
    assert.ok(result.good > 500);
  });

  it('answers what arrives on an idle connection, and says that it is the last', async (t) => {
    const { server } = await start(t);
    const connection = await RawConnection.open(server.socket);
    connection.get('/');
    await until(() => connection.answers === 1, 'the first answer');
    assert.match(connection.received, /connection: keep-alive/i);
    await term(server);
    // The worker hears of the stop a moment after the name is gone.
    for (let sent = 2; !/connection: close/i.test(connection.received); sent++) {
      connection.post('/body', 'late');
      await until(() => connection.answers === sent, 'the answer');
    }
    assert.match(connection.received, /connection: close\r\n\r\nlate$/i);
    await until(() => connection.ended, 'the connection to be ended');
    assert.equal((await server.exited).code, 0);
  });

  it('ends an idle connection that nobody closes, without a reset and without calling it cut', async (t) => {
    const { server } = await start(t);
    const used = await RawConnection.open(server.socket);
    const unused = await RawConnection.open(server.socket);
    used.get('/');
    await until(() => used.answers === 1, 'the answer');
    assert.equal(await server.stop(), 0);
    assert.deepEqual(
      [used.ended, used.error, unused.ended, unused.error],
      [true, undefined, true, undefined],
    );
    assert.doesNotMatch(server.stderr, /had to be cut/);
  });

  it('is not kept waiting by a connection on which Node answered by itself', async (t) => {
    const { server } = await start(t, ['--graceful-timeout', '20']);
    const connection = await RawConnection.open(server.socket);
    connection.get('/', 'Expect: the-unexpected\r\n');
    await until(() => /417 Expectation Failed/.test(connection.received), 'the refusal');
    assert.equal(await server.stop(), 0);
    assert.doesNotMatch(server.stderr, /had to be cut/);
    assert.deepEqual(
      server.accessLog().map(({ status }) => status),
      [417],
    );
  });

  it('answers pipelined requests, and closes only after the last', async (t) => {
    const { server, marks } = await start(t);
    const connection = await RawConnection.open(server.socket);
    connection.get('/slow?ms=800');
    await until(() => marks('slow') === 1, 'the request to be in flight');
    await term(server);
    // In one piece: what comes after an answer that is the last is lost, as HTTP has it.
    connection.send('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(2));
    assert.equal((await server.exited).code, 0);
    assert.equal(connection.answers, 3);
  });

  it('closes WebSockets and event streams through app.close() shortly before the graceful timeout', async (t) => {
    const { server, marks } = await start(t, ['--graceful-timeout', '4']);
    const stream = await RawConnection.open(server.socket);
    stream.get('/events');
    await until(() => stream.received.includes('first'), 'the stream');
    const socket = new WebSocket(`ws+unix:${server.socket}:/ws`);
    const closed = new Promise<number>((resolve) => socket.on('close', resolve));
    await new Promise((resolve) => socket.on('open', resolve));
    assert.equal(await server.stop(), 0);
    assert.equal(await closed, 1001);
    assert.equal(marks('onClose'), 2);
    assert.ok(
      server.log().some(({ level, msg }) => level === 40 && msg.startsWith('1 connection had to be cut')),
    );
  });

  it('waits for no tunnel that was refused: not when its client has gone, and else for no longer than when idle', async (t) => {
    const server = await startServer(t, app('answers.mjs'), ['-w', '1']);
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
    const leaving = await RawConnection.open(server.socket);
    const staying = await RawConnection.open(server.socket);
    const asking = await RawConnection.open(server.socket);
    for (const connection of [leaving, staying, asking]) {
      connection.get('/routed', upgrade);
      await until(() => connection.answers === 1, 'the refusal');
    }
    const connections = async () => (await readyWorkers(server))[0]!.connections;
    await until(async () => (await connections()) === 3, 'all to be counted');
    // To Node nobody is there any more who could answer.
    asking.get('/');
    leaving.socket.end();
    await until(async () => (await connections()) === 2, 'the first to be gone');
    assert.equal(await server.stop(), 0);
    assert.ok(staying.ended && asking.ended);
    assert.doesNotMatch(server.stderr, /cut/);
  });

  it('lets an app answer on for a tunnel that it refuses, and keeps one that it grants after a hint', async (t) => {
    const server = await startServer(t, app('answers.mjs'), ['-w', '1', '--keep-alive', '1']);
    const upgrade = 'Connection: Upgrade\r\nUpgrade: other\r\n';
    const granted = await RawConnection.open(server.socket);
    granted.get('/early', upgrade);
    await until(() => granted.received.includes(' 101 '), 'the tunnel');
    const refused = await RawConnection.open(server.socket);
    refused.get('/refused-slowly', upgrade);
    await until(() => refused.received.includes('more'), 'the first part');
    // A newer Node gives the app a stream of its own, where the request was not all there.
    const late = await RawConnection.open(server.socket);
    late.send(`POST /refused-slowly HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n${upgrade}\r\n`);
    await until(() => late.received.includes('more'), 'the first part of another');
    late.socket.end('body');
    granted.send('still there');
    await until(() => granted.received.includes('still there'), 'the echo');
    server.kill('SIGTERM');
    await until(() => refused.ended && late.ended, 'both ends');
    for (const { received } of [refused, late]) assert.match(received, /moremoremore$/);
    granted.close();
    assert.equal((await server.exited).code, 0);
    const statuses = server.accessLog().map(({ url, status }) => `${url} ${status}`);
    assert.deepEqual(statuses.sort(), ['/early 101', '/refused-slowly 404', '/refused-slowly 404']);
  });

  it('has a port refuse who comes while requests are being finished, as a path does', async (t) => {
    const trouble = join(temporaryDirectory(t), 'trouble');
    writeFileSync(trouble, '');
    const { server, target } = await startOnPort(t, app('upgrade-trouble.mjs'), ['-w', '2'], {
      env: { TROUBLE: trouble },
    });
    await settled(server, 2);
    const answer = fetchFrom(target, '/held');
    await until(
      async () => (await readyWorkers(server)).some(({ inFlight }) => inFlight! > 0),
      'the request',
    );
    server.kill('SIGTERM');
    await until(async () => !(await accepts(target.port)), 'the port to be closed');
    writeFileSync(`${trouble}.over`, '');
    assert.equal((await answer).body, 'held');
    assert.equal((await server.exited).code, 0);
  });

  it('cuts a request that never ends, runs onClose all the same, says so, and exits with 0', async (t) => {
    const { server, marks } = await start(t, ['--graceful-timeout', '2']);
    const connection = await RawConnection.open(server.socket);
    connection.get('/never');
    await until(() => marks('never') === 1, 'the request to be in flight');
    assert.equal(await server.stop(), 0);
    assert.equal(marks('onClose'), 2);
    assert.ok(
      server.log().some(({ level, msg }) => level === 40 && msg.startsWith('1 connection had to be cut')),
    );
    assert.deepEqual(
      server.accessLog().map(({ url, status }) => [url, status]),
      [['/never', 499]],
    );
  });

  it('kills a worker whose loop is blocked or whose onClose hangs after the graceful timeout', async (t) => {
    const { server, marks } = await start(t, ['--graceful-timeout', '2'], { HANG_ON_CLOSE: '1' });
    const connection = await RawConnection.open(server.socket);
    connection.get('/block?ms=60000');
    await until(() => marks('block') === 1, 'a worker to be blocked');
    const workers = server.workers();
    assert.equal(await server.stop(), 0);
    assert.deepEqual(workers.filter(isRunning), []);
  });

  it('lets a second wish only make it faster', async (t) => {
    const { server, marks } = await start(t);
    const connection = await RawConnection.open(server.socket);
    connection.get('/slow?ms=20000');
    await until(() => marks('slow') === 1, 'the request to be in flight');
    await term(server);
    server.kill('SIGINT');
    assert.equal((await server.exited).code, 0);
    assert.equal(connection.answers, 0);
    assert.equal(marks('onClose'), 2);
  });
});

describe('TERM while no worker is there', () => {
  it('still answers what waits in the accept queue', async (t) => {
    const server = await startServer(t, app('crashing.mjs'), ['-w', '1']);
    // Dies young, again and again, until the next one has to wait for a while.
    await until(async () => {
      for (const pid of server.workers())
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // Just gone.
        }
      return /died young 5 times/.test(server.stderr);
    }, 'the slot to wait');
    const waiting = await Promise.all(Array.from({ length: 20 }, () => RawConnection.open(server.socket)));
    for (const connection of waiting) connection.get('/');
    assert.equal(await server.stop(), 0);
    assert.equal(waiting.filter(({ answers }) => answers === 1).length, 20);
  });
});

describe('An answer that is given before the whole request has come', () => {
  it('arrives whole during a stop, over TCP too', async (t) => {
    const { server, target } = await startOnPort(t, app('early-answer.mjs'));
    const posts = Array.from({ length: 6 }, () => {
      const post = request({
        ...target,
        host: '127.0.0.1',
        method: 'POST',
        path: '/',
        headers: { connection: 'keep-alive' },
      });
      post.on('error', () => {});
      post.write(Buffer.alloc(16 << 20));
      return once(post, 'response').then(async ([answer]) => {
        let length = 0;
        for await (const chunk of answer) length += (chunk as Buffer).length;
        post.end();
        return length;
      });
    });
    await until(() => server.stderr.split('"early"').length > posts.length, 'the requests to be there');
    server.kill('SIGTERM');
    assert.deepEqual(await Promise.all(posts), Array(6).fill(2 << 20));
    assert.equal((await server.exited).code, 0);
  });
});

describe('A stop while the app boots', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`is quiet, leaves nothing behind, and exits with 0, whenever it comes (${signal})`, async (t) => {
      for (let wait = 0; wait < 400; wait += 25) {
        const server = await startServer(t, app('plain.mjs'), ['-w', '2'], { early: true });
        await until(() => server.log().length > 0, 'the start line');
        await new Promise((resolve) => setTimeout(resolve, wait));
        server.kill(signal);
        assert.deepEqual(await server.exited, { code: 0, signal: null });
        assert.deepEqual(
          server.log().filter(({ level }) => level > 30),
          [],
        );
        assert.deepEqual(readdirSync(dirname(server.socket)), []);
      }
    });
  }
});

describe('A signal before there is a server', () => {
  it('that ends it leaves nothing behind, whenever it comes', async (t) => {
    for (let wait = 0; wait < 500; wait += 25) {
      const server = await startServer(t, app('plain.mjs'), ['-w', '1'], { early: true });
      await new Promise((resolve) => setTimeout(resolve, wait));
      server.kill('SIGTERM');
      const { code, signal } = await server.exited;
      // Node itself takes a while until there is anybody to listen.
      assert.ok(code === 0 || code === 143 || signal === 'SIGTERM', `${code} ${signal}`);
      assert.deepEqual(readdirSync(dirname(server.socket)), []);
    }
  });

  /** Starts a server whose config file says its pid, and is done when there is a second file. */
  async function startWithConfig(t: TestContext) {
    const directory = temporaryDirectory(t);
    const [config, pidFile, go] = ['fasticorn.config.mjs', 'pid', 'go'].map((name) => join(directory, name));
    writeFileSync(
      config!,
      `import { existsSync, writeFileSync } from 'node:fs';
      writeFileSync('${pidFile}', String(process.pid));
      while (!existsSync('${go}'));
      export default {};`,
    );
    const server = await startServer(t, app('plain.mjs'), ['-w', '1', '-c', config!], { early: true });
    const pid = () => Number(existsSync(pidFile!) && readFileSync(pidFile!, 'utf8'));
    await until(() => pid() > 0, 'the config file to run');
    return { server, pid: pid(), go: () => writeFileSync(go!, '') };
  }

  it('that ends it ends a config file that never does', async (t) => {
    const { server, pid } = await startWithConfig(t);
    server.kill('SIGTERM');
    assert.deepEqual(await server.exited, { code: 143, signal: null });
    await until(() => !isRunning(pid), 'the process of the config file to be gone');
  });

  it('that means something else changes nothing, and opens no inspector', async (t) => {
    const { server, go } = await startWithConfig(t);
    for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) server.kill(signal);
    go();
    await settled(server, 1);
    assert.doesNotMatch(server.stderr, /Debugger listening|SIGHUP|SIGUSR/);
    assert.equal(await server.stop(), 0);
  });
});

for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
  describe(signal, () => {
    it('gives requests in flight one second, runs onClose, and exits with 0', async (t) => {
      const { server, marks } = await start(t);
      const quick = await RawConnection.open(server.socket);
      const slow = await RawConnection.open(server.socket);
      const idle = await RawConnection.open(server.socket);
      quick.get('/slow?ms=500');
      slow.get('/slow?ms=20000');
      await until(() => marks('slow') === 2, 'the requests to be in flight');
      server.kill(signal);
      assert.equal((await server.exited).code, 0);
      assert.deepEqual([quick.answers, slow.answers, idle.answers], [1, 0, 0]);
      assert.equal(marks('onClose'), 2);
      assert.equal(existsSync(server.socket), false);
    });
  });
}

it('A second SIGINT ends everything at once, with 0', async (t) => {
  const { server, marks } = await start(t, [], { HANG_ON_CLOSE: '1' });
  server.kill('SIGINT');
  await until(() => marks('onClose') === 2, 'both workers to hang');
  const workers = server.workers();
  await interruptAgain(server);
  assert.equal((await server.exited).code, 0);
  assert.deepEqual(workers.filter(isRunning), []);
});
