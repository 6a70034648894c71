/**
 * Refusals that are given before the whole request has come, such as Fastify's 413 for a body over its limit: they
 * reach clients that are still sending, nginx among them, which would say 502 if the connection were reset.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type RequestListener, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import * as tls from 'node:tls';
import { fetch } from 'undici';
import { Connections } from '../src/worker/connections.ts';
import { open, startOnPort } from './support/http.ts';
import { need } from './support/need.ts';
import { startNginx } from './support/nginx.ts';
import { afterwards, app, startServer, temporaryDirectory, until } from './support/server.ts';
import { pair, tlsFlags } from './support/tls.ts';

/** Paths of `refusing.mjs`, and the status that each of them answers. */
const REFUSALS = { '/limited': 413, '/hooked': 401, '/closing': 401 };

/** More than sockets and Node's buffers hold. */
const BODY = Buffer.alloc(5 << 20, ' ');

/** What comes back to a client that reads only after it has sent its whole request; rejects if that fails. */
async function refusalOf(socket: Socket, path: string): Promise<string> {
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n`;
  socket.write(`${head}Connection: close\r\n\r\n`);
  const failed = once(socket, 'error').then(([error]) => Promise.reject(error));
  const sent = new Promise((resolve) => socket.end(BODY, () => resolve(undefined)));
  await Promise.race([sent, failed]);
  return Promise.race([text(socket), failed]);
}

describe('A refusal before the whole request has come', () => {
  for (const connection of ['pool', 'close'] as const) {
    const how = connection === 'pool' ? 'and its pool' : 'with a connection for each request';
    it(`reaches clients through nginx ${how}`, need('nginx'), async (t) => {
      const server = await startServer(t, app('refusing.mjs'), ['-w', '2']);
      const nginx = await startNginx({ socket: server.socket, connection });
      t.after(() => nginx.stop());
      for (const [path, expected] of Object.entries(REFUSALS)) {
        const one = async () => {
          const answer = await fetch(nginx.url + path, {
            ...{ method: 'POST', body: BODY, headers: { 'content-type': 'application/json' } },
          });
          await answer.text();
          return answer.status;
        };
        for (let round = 0; round < 5; round++)
          assert.deepEqual(await Promise.all(Array.from({ length: 6 }, one)), Array(6).fill(expected), path);
      }
    });
  }

  it('reaches a client that sends everything before it reads, over the socket, TCP and TLS', async (t) => {
    const server = await startServer(t, app('refusing.mjs'), ['-w', '1']);
    const { target } = await startOnPort(t, app('refusing.mjs'), ['-w', '1']);
    const secured = await startOnPort(t, app('refusing.mjs'), ['-w', '1', ...tlsFlags(pair('first'))]);
    const ways = {
      socket: () => open({ socketPath: server.socket }),
      TCP: () => open(target),
      TLS: () =>
        tls.connect({ ...secured.target, host: '127.0.0.1', ca: pair('first').ca, servername: 'localhost' }),
    };
    for (const [way, client] of Object.entries(ways)) {
      for (const [path, expected] of Object.entries(REFUSALS)) {
        for (let round = 0; round < 5; round++) {
          const answer = await refusalOf(client(), path);
          assert.equal(answer.slice(9, 12), String(expected), `${path} over ${way}`);
        }
      }
    }
  });
});

describe('An app that answers before the whole request has come', () => {
  const HEAD = `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${1e12}\r\n\r\n`;

  /** Has a server listen, and sends it the beginning of a request; the client does not end its side by itself. */
  async function begin(t: TestContext, handler: RequestListener, start = `${HEAD}the beginning`) {
    const server = http.createServer(handler);
    const sockets: Socket[] = [];
    server.on('connection', (socket) => sockets.push(socket));
    const connections = new Connections();
    connections.watch(server);
    const socketPath = join(temporaryDirectory(t), 'app.sock');
    server.listen(socketPath);
    await once(server, 'listening');
    const client = connect({ path: socketPath, allowHalfOpen: true }).on('error', () => {});
    afterwards(t, () => {
      client.destroy();
      server.close();
      connections.destroyAll();
    });
    client.write(start);
    const [answer] = await once(client.setEncoding('latin1'), 'data');
    assert.match(answer, /^HTTP\/1\.1 413 /);
    return { server, connections, client, socket: sockets[0]! };
  }

  const refuse = (response: ServerResponse) => response.writeHead(413, { connection: 'close' }).end();

  it('may be reading it: it gets neither the rest, nor an end, nor an error', async (t) => {
    let outcome: unknown = 'none';
    const set = (what: unknown) => {
      outcome = what;
    };
    const { connections, client } = await begin(t, (request, response) => {
      text(request).then(set, set);
      refuse(response);
    });
    client.end('and more');
    await until(() => connections.size === 0, 'the end of the connection');
    await turn();
    assert.equal(outcome, 'none');
  });

  it('hears of no error of its client, who may go or end its side', async (t) => {
    const errors: Error[] = [];
    for (const leave of ['end', 'destroy'] as const) {
      const { server, connections, client } = await begin(t, (_request, response) => refuse(response));
      server.on('clientError', (error) => errors.push(error));
      client[leave]();
      await until(() => connections.size === 0, 'the end of the connection');
    }
    assert.deepEqual(errors, []);
  });

  it('may end the connection itself after its answer', async (t) => {
    const { connections, client } = await begin(t, (request, response) => {
      response.once('close', () => setImmediate(() => request.socket.destroySoon()));
      response.writeHead(413).end();
    });
    await once(client, 'end');
    client.write(BODY);
    await new Promise<void>((resolve) => client.end(() => resolve()));
    await until(() => connections.size === 0, 'the end of the connection');
    assert.equal(client.errored, null);
  });

  it('has a connection closed at once when the request is complete by then', async (t) => {
    const whole = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody';
    let closed: Promise<unknown> | undefined;
    const { connections } = await begin(
      t,
      (request, response) => {
        // There is no other end than that which needs no time.
        t.mock.timers.enable({ apis: ['setTimeout'] });
        closed = once(request.socket, 'close');
        // Between the body and its end, in which Node lets this run.
        process.nextTick(() => refuse(response));
      },
      whole,
    );
    await closed;
    assert.equal(connections.size, 0);
  });

  it('may have handed the server a stream that knows no such end', async (t) => {
    const { server } = await begin(t, (_request, response) => refuse(response));
    let received = '';
    const stream = new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        received += chunk;
        done();
      },
    });
    server.emit('connection', stream);
    stream.push('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await until(() => received !== '', 'the answer');
    assert.match(received, /^HTTP\/1\.1 413 /);
    stream.destroy();
  });

  it('is not kept from ending: the connection is not busy, and is cut if it goes on sending for ever', async (t) => {
    const { connections, client, socket } = await begin(t, (_request, response) => refuse(response));
    const more = setInterval(() => client.writableLength < 1e6 && client.write(BODY), 1);
    afterwards(t, () => clearInterval(more));
    await until(() => socket.bytesRead > 2 * BODY.length, 'more to arrive');
    assert.deepEqual([connections.size, connections.busy], [1, 0]);
    await until(() => connections.size === 0, 'the end of the connection');
  });
});
