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
import { temporaryDirectory } from './support/server.ts';

interface Handle {
  fd: number;
  getsockname(out: { port?: number }): number;
  close(): void;
}

/** As the arbiter has it: bound and not listening. */
function bind(t: TestContext, address: string, port: number, type: -1 | 4 | 6): Handle {
  const { _createServerHandle } = net as unknown as {
    _createServerHandle(address: string, port: number, type: number): Handle | number;
  };
  const handle = _createServerHandle(address, port, type);
  assert(typeof handle !== 'number', `cannot bind ${address}: ${handle}`);
  t.after(() => handle.close());
  return handle;
}

/** A worker that inherits a socket, listens with this backlog, and never accepts. */
async function listen(t: TestContext, { fd }: Handle, backlog: number): Promise<void> {
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
    const handle = bind(t, path, -1, -1);
    await listen(t, handle, 7);
    assert.deepEqual(await acceptQueues([handle.fd]), [{ queue: 0, limit: 7 }]);
    await clients(t, 3, { path });
    assert.deepEqual(await acceptQueues([handle.fd]), [{ queue: 3, limit: 7 }]);
  });

  for (const [host, type] of [
    ['127.0.0.1', 4],
    ['::1', 6],
  ] as const) {
    it(`of a port on ${host} is so as well`, async (t) => {
      const handle = bind(t, host, 0, type);
      const name: { port?: number } = {};
      assert.equal(handle.getsockname(name), 0);
      await listen(t, handle, 9);
      await clients(t, 2, { host, port: name.port! });
      assert.deepEqual(await acceptQueues([handle.fd]), [{ queue: 2, limit: 9 }]);
    });
  }

  it('is found for each of several sockets, in their order', async (t) => {
    const directory = temporaryDirectory(t);
    const [first, second] = ['a', 'b'].map((name) => bind(t, join(directory, name), -1, -1));
    const port = bind(t, '127.0.0.1', 0, 4);
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
    const handle = bind(t, path, -1, -1);
    await listen(t, handle, 7);
    await clients(t, 2, { path });
    assert.deepEqual(await acceptQueues([handle.fd]), [{ queue: 2, limit: 7 }]);
  });

  it('is not known of a socket on which nobody listens', async (t) => {
    const handle = bind(t, join(temporaryDirectory(t), 'app.sock'), -1, -1);
    assert.deepEqual(await acceptQueues([handle.fd]), [unknown]);
  });

  it('is not known where there is no ss', async (t) => {
    const { PATH } = process.env;
    t.after(() => {
      process.env.PATH = PATH;
    });
    const path = join(temporaryDirectory(t), 'app.sock');
    const handle = bind(t, path, -1, -1);
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
