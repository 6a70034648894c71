/**
 * The last answer on a connection: once a worker wants to go, it says so with `Connection: close`, also where the app
 * answers as soon as it hears of a request, so that connections in constant use come to an end without a loss.
 */
import assert from 'node:assert/strict';
import http, { type RequestListener, type Server } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import Fastify from 'fastify';
import { Connections } from '../src/worker/connections.ts';
import { fasticorn } from './support/command.ts';
import { load } from './support/load.ts';
import { RawConnection } from './support/raw.ts';
import { afterwards, app, isRunning, startServer, temporaryDirectory, until } from './support/server.ts';

/** Serves, and has one connection that has had an answer before the worker wants to go. */
async function begin(t: TestContext, server: Server) {
  const connections = new Connections();
  connections.watch(server);
  const path = join(temporaryDirectory(t), 'app.sock');
  server.listen(path);
  afterwards(t, () => {
    server.close();
    connections.destroyAll();
  });
  await until(() => server.listening, 'the server');
  const connection = await RawConnection.open(path);
  afterwards(t, () => connection.close());
  connection.get('/');
  await until(() => connection.answers === 1, 'the first answer');
  connection.received = '';
  connections.closeAfterResponse();
  return connection;
}

const fields = (connection: RawConnection) =>
  [...connection.received.matchAll(/\r\nconnection: (\S+)/gi)].map(([, value]) => value);

/** Answers with what was sent, read from the moment on when the request is known. */
const mirror: RequestListener = async (request, response) => response.end(`<${await text(request)}>`);

async function fastifyAtOnce(): Promise<Server> {
  const fastify = Fastify();
  fastify.get('/', (_request, reply) => {
    reply.send('x');
  });
  fastify.post('/', (request, reply) => {
    reply.send(request.body);
  });
  await fastify.ready();
  return fastify.server;
}

const makers: Record<string, () => Server | Promise<Server>> = {
  http: () => http.createServer((_request, response) => response.end('x')),
  Fastify: fastifyAtOnce,
};

for (const [name, make] of Object.entries(makers)) {
  describe(`The last answer of an app on ${name} that answers at once`, () => {
    it('is the next one, and the connection ends with it', async (t) => {
      const connection = await begin(t, await make());
      connection.get('/');
      await until(() => connection.answers === 1, 'the answer');
      assert.deepEqual(fields(connection), ['close']);
      await until(() => connection.ended, 'the end');
    });

    it('is that to the last of the requests that come together', async (t) => {
      const connection = await begin(t, await make());
      connection.send('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(3));
      await until(() => connection.ended, 'the end');
      assert.equal(connection.answers, 3);
      assert.deepEqual(fields(connection).at(-1), 'close');
    });

    it('is that to a POST', async (t) => {
      const connection = await begin(t, await make());
      connection.post('/', 'a body');
      await until(() => connection.ended, 'the end');
      assert.equal(connection.answers, 1);
      assert.deepEqual(fields(connection), ['close']);
      assert.equal(connection.error, undefined);
    });
  });
}

describe('A worker that wants to go', () => {
  it('loses nothing of a body, whether it comes with its head, later or after a 100', async (t) => {
    for (const expectation of ['', 'Expect: 100-continue\r\n']) {
      const connection = await begin(t, http.createServer(mirror));
      connection.send(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n${expectation}\r\n01234`);
      if (expectation) await until(() => connection.received.includes(' 100 Continue'), 'the go-ahead');
      connection.send('56789');
      await until(() => connection.ended, 'the end');
      assert.match(connection.received, /connection: close\r\n(.*\r\n)*\r\n.*<0123456789>/i);
    }
  });

  it('comes to an end under clients that never stop asking, and loses none of their requests', async (t) => {
    const args = ['-w', '1', '--graceful-timeout', '4', '--access-logfile', 'off'];
    const server = await startServer(t, app('at-once.mjs'), [...args, '--app-type', 'listener']);
    const [old] = server.workers();
    const enough = new AbortController();
    const running = load({
      ...{ to: { socketPath: server.socket }, connections: 8, signal: enough.signal, seconds: 60 },
      ask: async (pool, method) => {
        const { body } = await pool.request({
          method,
          path: '/',
          ...(method === 'POST' ? { body: 'y' } : {}),
        });
        const answer = await body.text();
        return answer === 'x' ? undefined : answer;
      },
    });
    try {
      const { code } = await fasticorn(t, ['reload', '--control-socket', `${server.socket}.ctl`]);
      assert.equal(code, 0);
      await until(() => !isRunning(old!), 'the old worker to be gone');
    } finally {
      enough.abort();
    }
    assert.deepEqual((await running).bad, []);
    assert.equal(await server.stop(), 0);
    assert.doesNotMatch(server.stderr, /had to be cut/);
  });
});
