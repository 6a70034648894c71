/**
 * Turns of workers that accept on one socket: who has accepted one of many connections that come at once lets the
 * others come to theirs, and it costs nothing to speak of where every request has a connection of its own.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttp2 } from 'node:http2';
import { createServer as createHttps } from 'node:https';
import * as net from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Turns, takeTurns } from '../src/worker/turns.ts';
import { load } from './support/load.ts';
import { temporaryDirectory, until } from './support/server.ts';
import { Site } from './support/site.ts';

/** Turns in a time that passes only as it is told, and how often the worker has slept. */
function make() {
  let now = 0;
  let sleeps = 0;
  const turns = new Turns({ now: () => now, sleep: () => sleeps++ });
  return {
    /** Accepts so many connections, each so many milliseconds after the one before; returns how often it slept. */
    accept(count: number, gap: number): number {
      const before = sleeps;
      for (let i = 0; i < count; i++) {
        now += gap;
        turns.onAccepted();
      }
      return sleeps - before;
    },
  };
}

describe('A worker that has accepted a connection', () => {
  it('goes on where connections come one by one', () => {
    assert.equal(make().accept(1000, 5), 0);
  });

  it('sleeps for a moment where one came at once with the one before', () => {
    const worker = make();
    assert.equal(worker.accept(1, 5), 0);
    assert.equal(worker.accept(31, 0.1), 31);
    assert.equal(worker.accept(1, 5), 0);
  });

  it('sleeps for 256 connections in a row, and then for 25 in a second', () => {
    const worker = make();
    worker.accept(1, 5);
    assert.equal(worker.accept(256, 0), 256);
    assert.equal(worker.accept(1000, 0), 0);
    assert.equal(worker.accept(10_000, 1), 250);
  });

  it('may do so again after a while, as often as at first and not more', () => {
    const worker = make();
    worker.accept(1000, 0);
    worker.accept(1, 60_000);
    assert.equal(worker.accept(1000, 0), 256);
  });

  it('sleeps in fact, and not for long', () => {
    const turns = new Turns();
    turns.onAccepted();
    const began = process.hrtime.bigint();
    for (let i = 0; i < 100; i++) turns.onAccepted();
    assert(process.hrtime.bigint() - began > 5_000_000n);
  });
});

describe('It takes turns for each connection that is accepted by', () => {
  const servers: Record<string, () => net.Server> = {
    'an HTTP server': () => createHttp(),
    'an HTTPS server': () => createHttps(),
    'an HTTP/2 server': () => createHttp2() as net.Server,
    'a server of another protocol': () => net.createServer(),
    'a server whose connections somebody else takes': () => {
      const server = createHttp();
      server.emit = () => true;
      return server;
    },
  };
  for (const [what, create] of Object.entries(servers)) {
    it(what, async (t) => {
      for (const where of [
        { path: join(temporaryDirectory(t), 'app.sock') },
        { host: '127.0.0.1', port: 0 },
      ]) {
        const server = create();
        const accepted = await countAccepted(t, server, where);
        const { port } = server.address() as net.AddressInfo;
        for (let i = 1; i <= 3; i++) {
          const client = net.connect('path' in where ? where : { ...where, port });
          t.after(() => client.destroy());
          await until(() => accepted() === i, `connection ${i}`);
        }
      }
    });
  }

  it('nobody, where the app has closed its server', async (t) => {
    const server = createHttp();
    server.once('listening', () => server.close());
    await countAccepted(t, server, { port: 0 }, () => !server.listening);
  });

  it('the server itself, and not for what another one hands over', async (t) => {
    const server = createHttp();
    const accepted = await countAccepted(t, server, { host: '127.0.0.1', port: 0 });
    const other = net.createServer((socket) => server.emit('connection', socket)).listen(0, '127.0.0.1');
    t.after(() => other.close());
    await once(other, 'listening');
    const client = net.connect((other.address() as net.AddressInfo).port, '127.0.0.1');
    t.after(() => client.destroy());
    client.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await once(server, 'request');
    assert.equal(accepted(), 0);
  });
});

describe('Of a server', () => {
  it('the workers take turns, but one that is alone does not', async (t) => {
    const site = new Site(t);
    site.deploy('one');
    site.write(
      'preload.mjs',
      `import { appendFileSync } from 'node:fs';
       const { wait } = Atomics;
       Atomics.wait = (...args) => {
         if (args[3] === 0.05) appendFileSync(${JSON.stringify(join(site.directory, 'slept'))}, 'x');
         return wait(...args);
       };`,
    );
    for (const workers of ['1', '2']) {
      site.write('slept', '');
      const slept = () => statSync(join(site.directory, 'slept')).size;
      const server = await site.start(['--import', './preload.mjs', '-w', workers]);
      for (let burst = 0; burst < 20 && slept() === 0; burst++)
        await load({ to: { socketPath: site.socket }, connections: 20, count: 20 });
      assert.equal(slept() > 0, workers === '2');
      assert.equal(await server.stop(), 0);
    }
  });
});

/** Has a server listen and take turns; returns what tells how often it has done so. */
async function countAccepted(
  t: TestContext,
  server: net.Server,
  where: net.ListenOptions,
  isReady = () => server.listening,
) {
  let accepted = 0;
  server.listen(where);
  t.after(() => server.close());
  await until(isReady, 'the server');
  takeTurns(server, { onAccepted: () => accepted++ });
  return () => accepted;
}
