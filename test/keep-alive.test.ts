/**
 * Keep-alive connections that nobody uses: they are closed after `--keep-alive`, which every answer promises, and no
 * other connection is closed for it. What the app sets for a connection ends with its request.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { Connections } from '../src/worker/connections.ts';
import { takeOverKeepAlive } from '../src/worker/keep-alive.ts';
import { fetchFrom } from './support/http.ts';
import { RawConnection } from './support/raw.ts';
import { afterwards, app, type Server, startServer, temporaryDirectory, until } from './support/server.ts';

const SECONDS = 0.2;

async function connectTo(t: TestContext, path: string): Promise<RawConnection> {
  const connection = await RawConnection.open(path);
  afterwards(t, () => connection.close());
  return connection;
}

async function begin(
  t: TestContext,
  { name = 'answers.mjs', seconds = SECONDS, env = {} } = {},
): Promise<{ server: Server; connect: () => Promise<RawConnection> }> {
  const server = await startServer(t, app(name), ['-w', '1', '--keep-alive', `${seconds}`], { env });
  return { server, connect: () => connectTo(t, server.socket) };
}

/** Waits until the server has closed an unused connection that was opened after everything that is to stay. */
async function untilAnotherIsClosed(connect: () => Promise<RawConnection>): Promise<void> {
  for (let round = 0; round < 2; round++) {
    const other = await connect();
    other.get('/');
    await until(() => other.ended, 'the end of an unused connection');
    assert.equal(other.answers, 1);
  }
}

describe('A connection that was used and is so no more', () => {
  it('is closed after --keep-alive, without a reset', async (t) => {
    const { connect } = await begin(t);
    const connection = await connect();
    connection.get('/');
    await until(() => connection.ended, 'the end');
    assert.deepEqual([connection.answers, connection.error], [1, undefined]);
  });

  it('is closed as well when half a request has come, or an answer did not wait for the rest of one', async (t) => {
    const { connect } = await begin(t, { name: 'silence.mjs' });
    const half = await connect();
    half.get('/');
    await until(() => half.answers === 1, 'the first answer');
    half.send('GET / HTTP/1.1\r\nHost: lo');
    const refused = await connect();
    refused.send('POST /refused HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nthe beginning');
    await until(() => half.ended && refused.ended, 'both ends');
    assert.match(refused.received, /^HTTP\/1\.1 401 /);
    assert.deepEqual([half.answers, refused.answers], [1, 1]);
  });

  it('is told of it by every answer', async (t) => {
    const { connect } = await begin(t, { seconds: 7 });
    const connection = await connect();
    connection.get('/');
    connection.get('/missing');
    await until(() => connection.answers === 2, 'the answers');
    assert.equal(connection.received.match(/^Keep-Alive: timeout=7\r$/gm)?.length, 2);
  });

  it('is closed by Node where the app has set a time once its server listened, and is told of that', async (t) => {
    const { connect } = await begin(t, { name: 'silence.mjs', seconds: 70, env: { OWN_KEEP_ALIVE: '1000' } });
    const connection = await connect();
    connection.get('/');
    await until(() => connection.ended, 'the end');
    assert.match(connection.received, /^Keep-Alive: timeout=1\r$/m);
  });
});

describe('For --keep-alive nobody closes', () => {
  it('a connection whose request is not answered yet', async (t) => {
    const { connect } = await begin(t);
    const connection = await connect();
    connection.get('/');
    await until(() => connection.answers === 1, 'the first answer');
    connection.get('/never');
    await untilAnotherIsClosed(connect);
    assert.equal(connection.ended, false);
  });

  it('a connection that was not used yet, which proxies open in advance', async (t) => {
    const { connect } = await begin(t);
    const connection = await connect();
    await untilAnotherIsClosed(connect);
    assert.equal(connection.ended, false);
    connection.get('/');
    await until(() => connection.answers === 1, 'the answer');
  });

  it("a connection that an earlier request had a timeout of the app's own on", async (t) => {
    const { connect } = await begin(t);
    const connection = await connect();
    connection.get('/impatient');
    await until(() => connection.answers === 1, 'the first answer');
    connection.get('/never');
    await untilAnotherIsClosed(connect);
    assert.equal(connection.ended, false);
  });

  it('a connection whose app limits the silence during requests, which it goes on doing', async (t) => {
    const { connect } = await begin(t, { name: 'silence.mjs', seconds: 7, env: { SILENCE: '500' } });
    const opened = async () => {
      const connection = await connect();
      connection.get('/');
      await until(() => connection.answers === 1, 'the first answer');
      return connection;
    };
    const idle = await opened();
    const asking = await opened();
    asking.get('/never');
    await until(() => asking.ended, "the end by the app's timeout");
    assert.equal(idle.ended, false);
    idle.get('/');
    await until(() => idle.answers === 2, 'another answer');
  });

  it('a connection for which a request has lifted that limit, also when another one is behind it', async (t) => {
    const { connect } = await begin(t, { name: 'silence.mjs', seconds: 7, env: { SILENCE: '500' } });
    const connection = await connect();
    connection.get('/');
    await until(() => connection.answers === 1, 'the first answer');
    connection.get('/patient');
    connection.get('/');
    await until(() => connection.answers === 3 || connection.ended, 'the answers');
    assert.equal(connection.answers, 3);
  });

  it('a WebSocket on a connection that had other requests before', async (t) => {
    const { connect } = await begin(t);
    const connection = await connect();
    connection.get('/');
    await until(() => connection.answers === 1, 'the answer');
    connection.get(
      '/ws',
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n',
    );
    await until(() => connection.received.includes('welcome'), 'the first message');
    await untilAnotherIsClosed(connect);
    assert.equal(connection.ended, false);
  });

  it('an event stream or a WebSocket', async (t) => {
    const { server, connect } = await begin(t);
    const stream = await connect();
    stream.get('/endless');
    await until(() => stream.received.includes('the beginning'), 'the beginning');
    const client = new WebSocket(`ws+unix:${server.socket}:/ws`);
    afterwards(t, () => client.terminate());
    await once(client, 'message');
    await untilAnotherIsClosed(connect);
    assert.equal(stream.ended, false);
    assert.equal(client.readyState, WebSocket.OPEN);
  });

  it('what is used again and again', async (t) => {
    const { server, connect } = await begin(t);
    const connection = await connect();
    let over = false;
    const closing = untilAnotherIsClosed(connect).then(() => {
      over = true;
    });
    for (let count = 1; !over; count++) {
      connection.get('/');
      await until(() => connection.answers === count, `answer ${count}`);
    }
    await closing;
    assert.equal(connection.ended, false);
    assert.equal((await fetchFrom({ socketPath: server.socket }, '/')).status, 200);
  });
});

describe('Looking at connections', () => {
  /** A server that answers when it is told to; an upgrade has the request before it answered. */
  async function watch(t: TestContext) {
    const held: ServerResponse[] = [];
    const server = http.createServer((_request, response) => held.push(response));
    server.on('upgrade', (_request, socket) => {
      held.shift()?.end('late');
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n');
    });
    const connections = new Connections({ keepAlive: 60 });
    connections.watch(server);
    takeOverKeepAlive(server);
    const path = join(temporaryDirectory(t), 'app.sock');
    server.listen(path);
    await once(server, 'listening');
    afterwards(t, () => {
      server.close();
      connections.destroyAll();
    });
    const answerAll = async () => {
      await until(() => held.length > 0, 'a request');
      for (const response of held.splice(0)) response.end('here');
      await until(() => connections.inFlight === 0, 'the end of all requests');
    };
    return { connections, connect: () => connectTo(t, path), answerAll };
  }

  /** Looks until a connection is closed that was answered and is unused since. */
  async function untilClosed({ connections, connect, answerAll }: Awaited<ReturnType<typeof watch>>) {
    const unused = await connect();
    unused.get('/');
    await answerAll();
    connections.endUnused(0);
    connections.endUnused(0);
    await until(() => unused.ended, 'the end of an unused connection');
  }

  it('counts silence from an answer on, and not what was silent before it', async (t) => {
    const watched = await watch(t);
    const { connections, connect, answerAll } = watched;
    const connection = await connect();
    for (let requests = 0; requests < 2; requests++) {
      connection.get('/');
      await until(() => connections.inFlight === 1, 'the request');
      connections.endUnused(0);
      connections.endUnused(0);
      await answerAll();
      connections.endUnused(0);
      // What a look has found is ended two turns of the event loop later.
      for (let turns = 0; turns < 4; turns++) await turn();
    }
    const other = await connect();
    other.get('/');
    await answerAll();
    // The first look after the answer for this one, and the second for the first.
    connections.endUnused(0);
    await until(() => connection.ended, 'the end of the first');
    assert.equal(other.ended, false);
    await untilClosed(watched);
  });

  it('lets an upgraded connection be, also when a request before it was answered only then', async (t) => {
    const watched = await watch(t);
    const connection = await watched.connect();
    connection.get('/');
    connection.get('/', 'Connection: Upgrade\r\nUpgrade: other\r\n');
    await until(() => connection.received.includes('late') && connection.received.includes(' 101 '), 'both');
    assert.equal(watched.connections.busy, 1);
    await untilClosed(watched);
    assert.equal(connection.ended, false);
  });
});
