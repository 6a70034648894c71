/**
 * Refusals that are given before the whole request has come, such as Fastify's 413 for a body over its limit: they
 * reach clients that are still sending, nginx among them, which would say 502 if the connection were reset.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
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

  it('does not keep a connection that goes on sending for ever', async (t) => {
    const connections = new Connections();
    const server = http.createServer((_request, response) =>
      response.writeHead(413, { connection: 'close' }).end(),
    );
    connections.watch(server);
    const socketPath = join(temporaryDirectory(t), 'app.sock');
    server.listen(socketPath);
    await once(server, 'listening');
    const socket = connect({ path: socketPath, allowHalfOpen: true }).on('error', () => {});
    const more = setInterval(() => socket.writableLength < 1e6 && socket.write(BODY), 1);
    afterwards(t, () => {
      clearInterval(more);
      socket.destroy();
      server.close();
      connections.destroyAll();
    });
    socket.write('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n');
    const [answer] = await once(socket.setEncoding('latin1'), 'data');
    assert.match(answer, /^HTTP\/1\.1 413 /);
    await until(() => connections.size === 0, 'the end of the connection');
  });
});
