/**
 * How many connections wait to be accepted, on real sockets whose worker does nothing.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import * as net from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { acceptQueues } from '../src/arbiter/accept-queue.ts';
import { need } from './support/need.ts';
import { boundPath, boundPort } from './support/passed.ts';
import { hasIPv6 } from './support/port.ts';
import { temporaryDirectory } from './support/server.ts';

/** A worker that inherits a socket, listens with this backlog, and never accepts. */
async function listen(t: TestContext, { fd }: { fd: number }, backlog: number): Promise<void> {
  const code = `require('node:net').createServer().listen({ fd: 3 }, ${backlog}, () => {
    require('node:fs').writeSync(1, 'listening');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });`;
  const worker = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit', fd] });
  t.after(() => worker.kill('SIGKILL'));
  await once(worker.stdout!, 'data');
}

async function clients(t: TestContext, count: number, to: net.NetConnectOpts): Promise<void> {
  for (let i = 0; i < count; i++) {
    const socket = net.connect(to);
    t.after(() => socket.destroy());
    await once(socket, 'connect');
  }
}

const unknown = { queue: null, limit: null };

describe('the accept queue', need('ss'), () => {
  it('of a Unix socket is as deep as there are connections that wait', async (t) => {
    const path = join(temporaryDirectory(t), 'app.sock');
    const handle = boundPath(t, path);
    await listen(t, handle, 7);
    assert.deepEqual(await acceptQueues([handle.fd]), [{ queue: 0, limit: 7 }]);
    await clients(t, 3, { path });
    assert.deepEqual(await acceptQueues([handle.fd]), [{ queue: 3, limit: 7 }]);
  });

  for (const [host, family] of [
    ['127.0.0.1', 4],
    ['::1', 6],
  ] as const) {
    const skip = family === 6 && !hasIPv6() && 'needs IPv6';
    it(`of a port on ${host} is so as well`, { skip }, async (t) => {
      const handle = boundPort(t, family);
      await listen(t, handle, 9);
      await clients(t, 2, { host, port: handle.port });
      assert.deepEqual(await acceptQueues([handle.fd]), [{ queue: 2, limit: 9 }]);
    });
  }

  it('is found for each of several sockets, in their order', async (t) => {
    const directory = temporaryDirectory(t);
    const [first, second] = ['a', 'b'].map((name) => boundPath(t, join(directory, name)));
    const port = boundPort(t);
    for (const [handle, backlog] of [
      [first!, 11],
      [port, 12],
      [second!, 13],
    ] as const) {
      await listen(t, handle, backlog);
    }
    await clients(t, 1, { path: join(directory, 'b') });
    const file = openSync('/dev/null', 'r');
    t.after(() => closeSync(file));
    assert.deepEqual(await acceptQueues([second!.fd, port.fd, file, first!.fd]), [
      { queue: 1, limit: 13 },
      { queue: 0, limit: 12 },
      unknown,
      { queue: 0, limit: 11 },
    ]);
  });

  it('is found whatever is in the path', async (t) => {
    const directory = join(temporaryDirectory(t), 'a b 12 * 0');
    mkdirSync(directory);
    const path = join(directory, 'LISTEN 5 5 x 99 * 0');
    const handle = boundPath(t, path);
    await listen(t, handle, 7);
    await clients(t, 2, { path });
    assert.deepEqual(await acceptQueues([handle.fd]), [{ queue: 2, limit: 7 }]);
  });

  it('is not known of a socket on which nobody listens', async (t) => {
    const handle = boundPath(t, join(temporaryDirectory(t), 'app.sock'));
    assert.deepEqual(await acceptQueues([handle.fd]), [unknown]);
  });

  it('is not known where there is no ss', async (t) => {
    const { PATH } = process.env;
    t.after(() => {
      process.env.PATH = PATH;
    });
    const path = join(temporaryDirectory(t), 'app.sock');
    const handle = boundPath(t, path);
    await listen(t, handle, 7);
    process.env.PATH = temporaryDirectory(t);
    assert.deepEqual(await acceptQueues([handle.fd]), [unknown]);
  });
});

describe('the accept queue of what is no socket', () => {
  it('is not known', async () => {
    assert.deepEqual(await acceptQueues([99_999, -1]), [unknown, unknown]);
    assert.deepEqual(await acceptQueues([]), []);
  });
});
