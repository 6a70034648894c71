/**
 * `--proxy-protocol` on a running server: who the client is, who may say so, what becomes of connections without a
 * valid header, and that a reload and a stop lose nothing.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import * as tls from 'node:tls';
import { pino } from 'pino';
import { Entrance, type EntranceOptions } from '../src/worker/entrance.ts';
import { exchange, open, startOnPort, type Target } from './support/http.ts';
import { load } from './support/load.ts';
import { v1, v2 } from './support/proxy-protocol.ts';
import { app, type Server, startServer, until } from './support/server.ts';
import { pair } from './support/tls.ts';

const client = { address: '203.0.113.7', port: 56324 };
const client6 = { address: '2001:db8::7', port: 4321 };
const request = (...fields: string[]) =>
  Buffer.from(['GET / HTTP/1.1', 'Host: x', 'Connection: close', ...fields, '', ''].join('\r\n'));
const claims = ['X-Forwarded-For: 6.6.6.6', 'X-Forwarded-Proto: https', 'X-Request-ID: forged'];

async function ask(to: Target, ...bytes: Buffer[]): Promise<Record<string, unknown>> {
  const answer = await exchange(to, Buffer.concat(bytes));
  return JSON.parse(answer.slice(answer.indexOf('{'), answer.lastIndexOf('}') + 1));
}

/** Sends something, and waits until the server has closed the connection, which it must do without an answer. */
async function isClosed(to: Target, ...bytes: Buffer[]): Promise<void> {
  const socket = open(to);
  let answer = '';
  socket.on('data', (data) => {
    answer += data;
  });
  const closed = new Promise((resolve) => socket.on('close', resolve));
  // A reset, if there were bytes left to read.
  socket.on('error', () => {});
  socket.write(Buffer.concat(bytes));
  await closed;
  assert.equal(answer, '');
}

/** A server on a port and one on a Unix socket. */
const places: Record<string, (t: TestContext, args?: string[]) => Promise<{ server: Server; to: Target }>> = {
  'a port': async (t, args = []) => {
    const { server, target } = await startOnPort(t, app('mirror.mjs'), [
      '-w',
      '1',
      '--proxy-protocol',
      ...args,
    ]);
    return { server, to: target };
  },
  'a Unix socket': async (t, args = []) => {
    const server = await startServer(t, app('mirror.mjs'), ['-w', '1', '--proxy-protocol', ...args]);
    return { server, to: { socketPath: server.socket } };
  },
};

const warnings = (server: Server) => server.log().filter(({ level }) => level >= 40);

for (const [place, start] of Object.entries(places)) {
  describe(`A PROXY protocol header on ${place}`, () => {
    it('says who the client is: to the app, to Fastify, and to the access log', async (t) => {
      const { server, to } = await start(t);
      for (const header of [v1(client), v2(client), v2(client6, { extension: Buffer.alloc(99) })]) {
        const { address } = header.includes(0x21, 13) && header.length > 100 ? client6 : client;
        const seen = await ask(to, header, request());
        assert.equal(seen.ip, address);
        assert.equal(seen.peer, address);
        assert.equal(seen.peerAtConnection, address);
      }
      await until(() => server.accessLog().length === 3, 'the access log');
      assert.deepEqual(
        server.accessLog().map(({ remoteAddress }) => remoteAddress),
        [client.address, client.address, client6.address],
      );
      assert.equal(await server.stop(), 0);
      assert.deepEqual(warnings(server), []);
    });

    it('may come in pieces of any size, and the request as well', async (t) => {
      const { to } = await start(t);
      for (const header of [v1(client), v2(client6)]) {
        const socket = open(to);
        socket.setNoDelay(true);
        let answer = '';
        socket.setEncoding('latin1').on('data', (text) => {
          answer += text;
        });
        for (const byte of Buffer.concat([header, request()])) {
          socket.write(Buffer.from([byte]));
          await turn();
        }
        await once(socket, 'close');
        assert.match(answer, new RegExp(`"ip":"(${client.address}|${client6.address})"`));
      }
    });

    it('is for the whole connection, pipelined requests and bodies included', async (t) => {
      const { to } = await start(t);
      const post = Buffer.from(
        `POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n${'b'.repeat(100_000)}`,
      );
      const answer = await exchange(to, Buffer.concat([v2(client), post, post, request()]));
      assert.equal(answer.split(`"ip":"${client.address}"`).length - 1, 3);
      assert.equal(answer.split('b'.repeat(100_000)).length - 1, 2);
    });

    it('leaves the peer as it is if the proxy speaks for itself', async (t) => {
      const { to } = await start(t);
      for (const header of [v2(client, { command: 0 }), Buffer.from('PROXY UNKNOWN\r\n')]) {
        assert.equal((await ask(to, header, request())).ip, '127.0.0.1');
      }
    });

    it('takes away what its client claims about itself, unless --forwarded-allow-ips has that client', async (t) => {
      const { to } = await start(t);
      const seen = await ask(to, v2(client), request(...claims));
      assert.equal(seen.ip, client.address);
      assert.equal(seen.protocol, 'http');
      assert.doesNotMatch(JSON.stringify(seen), /forwarded|6\.6\.6\.6|forged/i);

      const { to: trusting } = await start(t, ['--forwarded-allow-ips', '203.0.113.0/24']);
      const believed = await ask(trusting, v2(client), request(...claims));
      assert.deepEqual([believed.ip, believed.protocol, believed.id], ['6.6.6.6', 'https', 'forged']);
      assert.equal((await ask(trusting, v2(client6), request(...claims))).ip, client6.address);
    });

    it('is needed: connections without a valid one are closed, with one warning for all', async (t) => {
      const { server, to } = await start(t);
      for (const bytes of [request(), Buffer.from('PROXY TCP4 nonsense\r\n'), v2(client, { command: 9 })]) {
        await isClosed(to, bytes, request());
      }
      assert.equal((await ask(to, v1(client), request())).ip, client.address);
      assert.equal(warnings(server).length, 1);
      assert.match(warnings(server)[0]!.msg, /turned away: no valid PROXY protocol header came/);
      // Who looks whether the port is open has not done anything wrong.
      const socket = open(to);
      await once(socket, 'connect');
      socket.end();
      await once(socket.resume(), 'close');
      assert.equal(server.accessLog().length, 0);
      assert.equal(await server.stop(), 0);
    });
  });
}

describe('--proxy-allow-ips', () => {
  it('turns away peers that it does not have, but nobody on a Unix socket', async (t) => {
    const { server, to } = await places['a port']!(t, ['--proxy-allow-ips', '192.0.2.1,10.0.0.0/8']);
    await isClosed(to, v1(client), request());
    await until(() => warnings(server).length === 1, 'the warning');
    assert.match(warnings(server)[0]!.msg, /turned away: its address is not among --proxy-allow-ips/);
    assert.equal(warnings(server)[0]!.remoteAddress, '127.0.0.1');
    const { to: unix } = await places['a Unix socket']!(t, ['--proxy-allow-ips', '192.0.2.1']);
    assert.equal((await ask(unix, v1(client), request())).ip, client.address);
    const { to: any } = await places['a port']!(t, ['--proxy-allow-ips', '*']);
    assert.equal((await ask(any, v1(client), request())).ip, client.address);
  });
});

const first = pair('first');
const secured: Partial<EntranceOptions> = {
  proxies: undefined,
  identity: {
    cert: readFileSync(first.cert, 'utf8'),
    key: readFileSync(first.key, 'utf8'),
    ticketKeys: randomBytes(48).toString('base64'),
  },
};

describe('An entrance', () => {
  /** Behind it nothing but a note of who has come in. */
  async function start(t: TestContext, patience: number, more: Partial<EntranceOptions> = {}) {
    const entered: Socket[] = [];
    const server = createServer({ allowHalfOpen: true }, (socket) => entered.push(socket));
    const log = pino({ level: 'silent' });
    const entrance = new Entrance({ proxies: ['127.0.0.1'], log, patience, ...more });
    entrance.guard(server, { kind: 'tcp', host: '127.0.0.1', port: 0 });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as { port: number };
    const sockets: Socket[] = [];
    t.after(() => {
      for (const socket of [...sockets, ...entered]) socket.destroy();
      server.close();
    });
    const dial = async (bytes: Buffer | string = '') => {
      const socket = connect(port, '127.0.0.1');
      sockets.push(socket);
      await once(socket, 'connect');
      if (bytes.length > 0) socket.write(bytes);
      return socket.on('error', () => {});
    };
    return { server, entrance, entered, dial };
  }

  it('says nothing of a peer that is gone already', async (t) => {
    const said: string[] = [];
    const log = pino({ level: 'debug' }, { write: (line: string) => said.push(line) });
    const { server, entrance } = await start(t, 60_000, { log });
    server.emit('connection', new Socket());
    await until(() => entrance.lost === 1, 'it to be gone');
    assert.deepEqual(said, []);
  });

  it('does not wait for a header for ever', async (t) => {
    const { entrance, entered, dial } = await start(t, 100);
    const silent = await dial();
    const slow = await dial('PROXY TCP4');
    await Promise.all([once(silent.resume(), 'close'), once(slow.resume(), 'close')]);
    await until(() => entrance.size === 0, 'both to be gone');
    assert.deepEqual([entered.length, entrance.lost], [0, 2]);
  });

  it('knows who waits there, and who of them has begun to speak', async (t) => {
    const { entrance, entered, dial } = await start(t, 60_000);
    const silent = await dial();
    await dial('PROXY TCP4');
    await dial(v2(client));
    await until(() => entrance.size === 2 && entered.length === 1 && entrance.busy === 1, 'the three');
    entrance.endIdle(0, 0);
    await once(silent.resume(), 'end');
    silent.end();
    await until(() => entrance.size === 1, 'the silent one to be gone');
    assert.equal(entrance.busy, 1);
    entrance.destroyAll();
    await until(() => entrance.size === 0, 'the other one to be gone');
    assert.deepEqual([entered.length, entrance.lost], [1, 2]);
  });

  it('notices who goes during the TLS handshake, and ends who does not go on with it', async (t) => {
    const { entrance, dial } = await start(t, 60_000, secured);
    (await dial('x')).end();
    await until(() => entrance.lost === 1, 'the one that went to be gone');
    const slow = await dial('x');
    await until(() => entrance.busy === 1, 'the byte');
    entrance.endIdle(performance.now(), 60_000);
    assert.equal(slow.readyState, 'open');
    entrance.endIdle(0, 0);
    await until(() => entrance.lost === 2, 'the slow one to be gone');
  });

  it('lets a TLS client end its side and wait for the answer', async (t) => {
    const { entered, dial } = await start(t, 60_000, secured);
    const socket = tls.connect({ socket: await dial(), ca: first.ca, servername: 'localhost' });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    await until(() => entered.length === 1, 'it to come in');
    const [accepted] = entered as [Socket];
    const ended = once(accepted.resume(), 'end');
    socket.allowHalfOpen = true;
    const answer = text(socket);
    socket.end('a question');
    await ended;
    await turn();
    accepted.end('the answer');
    assert.equal(await answer, 'the answer');
  });
});

describe('Behind a proxy that speaks the PROXY protocol', () => {
  it('a reload and a stop lose nothing, and a connection that nobody uses does not hold a stop up', async (t) => {
    const server = await startServer(t, app('echo.mjs'), ['--proxy-protocol', '-w', '2']);
    const ending = new AbortController();
    const running = load({
      to: { socketPath: server.socket },
      signal: ending.signal,
      connect: (_options, callback) => {
        const socket = connect(server.socket);
        socket.on('error', (error) => callback(error, null));
        socket.on('connect', () => {
          socket.write(v2(client));
          callback(null, socket);
        });
      },
    });
    // As browsers open connections ahead of need: with an NLB there is nothing on them, with HAProxy the header.
    const unused = await Promise.all(
      ['', v2(client)].map(async (bytes) => {
        const socket = connect(server.socket);
        await once(socket, 'connect');
        if (bytes) socket.write(bytes);
        // Wrapped, so that only the connection is waited for here.
        return { ended: once(socket.resume(), 'end').then(() => socket.end()) };
      }),
    );
    for (let round = 2; round < 5; round++) {
      server.kill('SIGHUP');
      await until(
        () => server.log().some(({ msg }) => msg.startsWith(`generation ${round} serves`)),
        `generation ${round}`,
      );
    }
    server.kill('SIGTERM');
    await until(() => server.log().some(({ msg }) => /SIGTERM/.test(msg)), 'the stop');
    ending.abort();
    const { good, bad } = await running;
    assert.deepEqual(bad, []);
    assert.ok(good > 100, `${good}`);
    await Promise.all(unused.map(({ ended }) => ended));
    assert.equal((await server.exited).code, 0);
    assert.ok(!server.log().some(({ msg }) => /had to be cut/.test(msg)));
  });
});
