/**
 * Behind the bundled nginx.conf: what the app sees of a client, and what a load meets when workers die and servers
 * start and stop. Only the port and the paths of the file are rewritten.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fetch } from 'undici';
import { WebSocket } from 'ws';
import { askEcho, load } from './support/load.ts';
import { need } from './support/need.ts';
import { type NginxOptions, startNginx } from './support/nginx.ts';
import { app, isRunning, startServer, temporaryDirectory, until } from './support/server.ts';

const demo = new URL('../dist/demo.js', import.meta.url).pathname;
const bundled = new URL('../nginx/nginx.conf', import.meta.url).pathname;
const connections = ['pool', 'close'] as const;

async function nginxFor(t: TestContext, options: NginxOptions) {
  const nginx = await startNginx(options);
  t.after(() => nginx.stop());
  return nginx;
}

/** Lines of nginx's error log that tell of a request which a worker had taken and did not answer. */
async function lostBehind(nginx: { errorLog(): Promise<string> }): Promise<string[]> {
  return (await nginx.errorLog())
    .split('\n')
    .filter((line) => /prematurely closed|reset by peer|broken pipe|timed out|unavailable/i.test(line));
}

/** What the README tells people to add to an nginx that they have, in as little else as runs. */
function withEssentials(): string {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const essentials = /(?<=<!-- nginx:begin -->\n\n```nginx\n)[\s\S]*?(?=```)/.exec(readme)![0];
  return [
    'pid /run/nginx.pid;',
    'events {}',
    'http {',
    '  access_log /var/log/nginx/access.log;',
    essentials.replace('\nserver {\n', '\nserver {\n  listen 80 default_server;\n'),
    '}',
  ].join('\n');
}

/** The first line of the answer to an HTTP/1.0 request without a Host. */
async function answerWithoutHost(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1');
  socket.write('GET /healthz HTTP/1.0\r\n\r\n');
  let answer = '';
  for await (const part of socket) answer += part;
  return answer.split('\r\n')[0]!;
}

describe('Behind nginx', need('nginx'), () => {
  for (const [what, conf] of [
    ['the bundled file', undefined],
    ['what the README shows of it', withEssentials()],
  ] as const) {
    it(`WebSockets pass, and requests without a Host, with ${what}`, async (t) => {
      const server = await startServer(t, demo);
      const nginx = await nginxFor(t, { socket: server.socket, ...(conf && { conf }) });
      const socket = new WebSocket(`ws://127.0.0.1:${nginx.port}/ws`);
      t.after(() => socket.terminate());
      await once(socket, 'open');
      socket.send('through nginx');
      const [message] = await once(socket, 'message');
      assert.equal(String(message), 'through nginx');
      assert.equal(await answerWithoutHost(nginx.port), 'HTTP/1.1 200 OK');
    });
  }

  it('the app sees the client, whatever the client claims', async (t) => {
    const server = await startServer(t, demo);
    const nginx = await nginxFor(t, { socket: server.socket });
    const response = await fetch(`${nginx.url}/`, {
      headers: {
        accept: 'application/json',
        'x-forwarded-for': '1.2.3.4, 5.6.7.8',
        'x-forwarded-proto': 'https',
        'x-forwarded-host': 'evil.example',
        'x-real-ip': '1.2.3.4',
        'x-request-id': 'chosen-by-the-client',
        forwarded: 'for=1.2.3.4;proto=https;host=evil.example',
      },
    });
    const { request } = (await response.json()) as { request: Record<string, string> };
    assert.equal(request.ip, '127.0.0.1');
    assert.equal(request.protocol, 'http');
    assert.equal(request.host, `127.0.0.1:${nginx.port}`);
    assert.match(request.id ?? '', /^[0-9a-f]{32}$/);
    await until(() => server.accessLog().length > 0, 'the access line');
    assert.equal(server.accessLog()[0]?.reqId, request.id);
  });

  it('of what the client says about proxies only what nginx itself says reaches the app', async (t) => {
    const server = await startServer(t, app('mirror.mjs'));
    const nginx = await nginxFor(t, { socket: server.socket });
    const claims = ['For', 'Host', 'Port', 'Prefix', 'Proto', 'Server', 'Ssl', 'User'];
    const headers = Object.fromEntries(claims.map((name) => [`X-Forwarded-${name}`, 'claimed']));
    const response = await fetch(`${nginx.url}/`, { headers: { ...headers, Forwarded: 'by=claimed' } });
    const seen = ((await response.json()) as { headers: Record<string, string> }).headers;
    assert.doesNotMatch(JSON.stringify(seen), /claimed/);
    assert.deepEqual(
      Object.keys(seen).filter((name) => /forwarded/.test(name)),
      ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'],
    );
  });

  it('WebSockets and event streams pass', async (t) => {
    const server = await startServer(t, demo);
    const nginx = await nginxFor(t, { socket: server.socket });
    const socket = new WebSocket(`ws://127.0.0.1:${nginx.port}/ws`);
    await once(socket, 'open');
    socket.send('through nginx');
    const [message] = await once(socket, 'message');
    assert.equal(String(message), 'through nginx');
    socket.close();
  });

  it('a WebSocket that the app refuses costs nobody else an answer', async (t) => {
    const server = await startServer(t, app('answers.mjs'), ['-w', '1']);
    // One process of nginx, so that all share one pool.
    const conf = readFileSync(bundled, 'utf8').replace('worker_processes auto;', 'worker_processes 1;');
    const nginx = await nginxFor(t, { socket: server.socket, conf });
    for (let round = 0; round < 30; round++) {
      const refused = connect(nginx.port, '127.0.0.1').setEncoding('latin1');
      t.after(() => refused.destroy());
      refused.write('GET /routed HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      const [answer] = await once(refused, 'data');
      assert.match(answer, /^HTTP\/1\.1 200 /);
      assert.equal((await fetch(`${nginx.url}/`, { method: 'POST', body: 'a' })).status, 404);
    }
    assert.deepEqual(await lostBehind(nginx), []);
    assert.equal(await server.stop(), 0);
    assert.doesNotMatch(server.stderr, /cut/);
  });

  it('a client that sends its body slowly keeps no worker busy', async (t) => {
    const server = await startServer(t, demo, ['-w', '1']);
    const nginx = await nginxFor(t, { socket: server.socket });
    const slow = connect(nginx.port, '127.0.0.1');
    t.after(() => slow.destroy());
    await once(slow, 'connect');
    slow.write('POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf ');
    assert.equal((await fetch(`${nginx.url}/healthz`)).status, 200);
    // The request has not reached the app: a stop does not wait for it.
    assert.equal(await server.stop(), 0);
    assert.doesNotMatch(server.stderr, /cut/);
  });

  for (const connection of connections) {
    describe(connection === 'pool' ? 'with its pool of connections' : 'with a connection per request', () => {
      it('no GET is lost while a worker is killed every 300 ms, if not three die under it', async (t) => {
        const server = await startServer(t, app('echo.mjs'), ['-w', '3']);
        const nginx = await nginxFor(t, { socket: server.socket, connection });
        const enough = new AbortController();
        const inFlight = new Set<symbol>();
        const running = load({
          to: { port: nginx.port },
          connections: 16,
          delay: 2,
          methods: ['GET'],
          ask: async (...request) => {
            const one = Symbol();
            inFlight.add(one);
            return await askEcho(...request).finally(() => inFlight.delete(one));
          },
          signal: enough.signal,
        });
        let hit: symbol[] = [];
        for (let i = 0; i < 20; i++) {
          await sleep(300);
          // On a busy machine a request may wait for all that time in one worker, and then in another; and before that it
          // may have been sent on a connection of the pool whose worker was dead already.
          await until(() => !hit.some((one) => inFlight.has(one)), 'requests that have lost a worker');
          const [victim] = server.workers();
          if (!victim) continue;
          process.kill(victim, 'SIGKILL');
          await until(() => !isRunning(victim), 'the worker to be dead');
          hit = [...inFlight];
        }
        enough.abort();
        const { bad, good } = await running;
        assert.deepEqual(bad, []);
        assert.ok(good > 100);
      });

      it('nothing is lost on TERM: what a worker had taken is answered, POSTs included', async (t) => {
        for (let round = 0; round < 3; round++) {
          const server = await startServer(t, app('echo.mjs'));
          const nginx = await nginxFor(t, { socket: server.socket, connection });
          const enough = new AbortController();
          const running = load({
            to: { port: nginx.port },
            connections: 32,
            delay: 2,
            signal: enough.signal,
          });
          await until(() => server.accessLog().length > 300, 'the load to be under way');
          server.kill('SIGTERM');
          await until(() => !existsSync(server.socket), 'the name to be gone');
          enough.abort();
          assert.equal((await server.exited).code, 0);
          const { bad, good } = await running;
          // 502 is right for those who came when there was no socket any more; nginx says which they were.
          assert.deepEqual(
            bad.filter((problem) => !problem.includes(': 502 ')),
            [],
          );
          assert.deepEqual(await lostBehind(nginx), []);
          assert.ok(good > 300);
        }
      });

      it('a start under load serves everybody from the moment that the socket is there', async (t) => {
        const socket = join(temporaryDirectory(t), 'app.sock');
        const nginx = await nginxFor(t, { socket, connection });
        const starting = startServer(t, app('echo.mjs'), [], { socket });
        await until(() => existsSync(socket), 'the socket');
        const { bad, good } = await load({ to: { port: nginx.port }, connections: 32, count: 2000 });
        await starting;
        assert.deepEqual(bad, []);
        assert.equal(good, 2000);
      });
    });
  }
});

describe('Straight to the socket', () => {
  it('a start serves everybody from the moment that the socket is there', async (t) => {
    const socket = join(temporaryDirectory(t), 'app.sock');
    const starting = startServer(t, app('echo.mjs'), [], { socket });
    await until(() => existsSync(socket), 'the socket');
    const { bad, good, refused } = await load({
      ...{ to: { socketPath: socket }, connections: 32, count: 15_000 },
    });
    await starting;
    assert.deepEqual([bad, refused], [[], 0]);
    assert.ok(good > 1000);
  });
});
