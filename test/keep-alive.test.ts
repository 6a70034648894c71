/**
 * Keep-alive connections that nobody uses: they are closed after `--keep-alive`, which every answer promises, and no
 * other connection is closed for it. What the app sets for a connection ends with its request.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { fetchFrom } from './support/http.ts';
import { RawConnection } from './support/raw.ts';
import { afterwards, app, type Server, startServer, until } from './support/server.ts';

const SECONDS = 0.2;

async function begin(t: TestContext): Promise<{ server: Server; connect: () => Promise<RawConnection> }> {
  const server = await startServer(t, app('answers.mjs'), ['-w', '1', '--keep-alive', `${SECONDS}`]);
  const connect = async () => {
    const connection = await RawConnection.open(server.socket);
    afterwards(t, () => connection.close());
    return connection;
  };
  return { server, connect };
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

  it('is told of it by every answer', async (t) => {
    const server = await startServer(t, app('answers.mjs'), ['-w', '1', '--keep-alive', '7']);
    const connection = await RawConnection.open(server.socket);
    afterwards(t, () => connection.close());
    connection.get('/');
    connection.get('/missing');
    await until(() => connection.answers === 2, 'the answers');
    assert.equal(connection.received.match(/^Keep-Alive: timeout=7\r$/gm)?.length, 2);
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
