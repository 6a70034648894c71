/**
 * The beat of a worker. In one process, with a real server.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import http, { type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Beat } from '../src/protocol.ts';
import { Connections } from '../src/worker/connections.ts';
import { type Heartbeat, startHeartbeat } from '../src/worker/heartbeat.ts';
import { fetchFrom } from './support/http.ts';
import { RawConnection } from './support/raw.ts';
import { temporaryDirectory, until } from './support/server.ts';

const idle = { requests: 0, inFlight: 0, size: 0 };

/** The beats so far; the list grows. */
function beats(t: TestContext, connections: Heartbeat['connections'] = idle): Beat[] {
  const seen: Beat[] = [];
  t.after(startHeartbeat({ connections, every: 0.02, send: (beat) => seen.push(beat) }));
  return seen;
}

/** Keeps the event loop from turning, in milliseconds. */
function block(time: number): void {
  const end = performance.now() + time;
  while (performance.now() < end);
}

describe('A heartbeat', () => {
  it('beats at once, and then again and again', async (t) => {
    const seen = beats(t);
    assert.equal(seen.length, 1);
    await until(() => seen.length > 3, 'more beats');
  });

  it('tells nothing of the time before it, in which the app was loaded', (t) => {
    block(50);
    assert.equal(beats(t)[0]!.utilization, 0);
  });

  it('ends when it is told to', async () => {
    let count = 0;
    const stop = startHeartbeat({ connections: idle, every: 0.01, send: () => count++ });
    await until(() => count > 1, 'a second beat');
    stop();
    const before = count;
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(count, before);
  });

  it('goes on where memory cannot be read, with what was known last', async (t) => {
    const seen = beats(t);
    // As it does when there is no descriptor left.
    t.mock.method(process, 'memoryUsage', () => {
      throw new Error('EMFILE: too many open files, uv_resident_set_memory');
    });
    const before = seen.length;
    await until(() => seen.length > before + 1, 'more beats');
    assert.equal(seen.at(-1)!.rss, seen[before - 1]!.rss);
  });

  it('keeps no process alive', () => {
    const script = `import { startHeartbeat } from ${JSON.stringify(import.meta.resolve('../src/worker/heartbeat.ts'))};
      startHeartbeat({ connections: {}, every: 1000, send() {} });`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', script];
    const { status, signal } = spawnSync(process.execPath, args, { timeout: 20_000, stdio: 'inherit' });
    assert.deepEqual({ status, signal }, { status: 0, signal: null });
  });

  it('tells how many requests and connections there are', async (t) => {
    const waiting: ServerResponse[] = [];
    const server = http.createServer((request, response) => {
      if (request.url === '/slow') waiting.push(response);
      else response.end();
    });
    const connections = new Connections();
    connections.watch(server);
    const socketPath = join(temporaryDirectory(t), 'app.sock');
    server.listen(socketPath);
    await once(server, 'listening');
    t.after(() => server.close());
    const seen = beats(t, connections);
    const counts = () => {
      const { requests, inFlight, connections } = seen.at(-1)!;
      return [requests, inFlight, connections].join();
    };

    assert.equal(counts(), '0,0,0');
    await fetchFrom({ socketPath }, '/');
    await until(() => counts() === '1,0,0', 'a request that is over');
    const slow = await RawConnection.open(socketPath);
    slow.get('/slow');
    slow.get('/slow');
    const unused = await RawConnection.open(socketPath);
    await until(() => counts() === '1,2,2', 'two requests in flight');
    for (const response of waiting) response.end();
    await until(() => counts() === '3,0,2', 'their end');
    slow.get('/slow');
    await until(() => counts() === '3,1,2', 'one more');
    slow.socket.destroy();
    unused.socket.destroy();
    await until(() => counts() === '4,0,0', 'a client that left');
  });

  it('tells the memory in use', async (t) => {
    const seen = beats(t);
    const { rss, heap } = seen[0]!;
    assert.ok(heap > 1e6 && rss > heap, `${rss} and ${heap}`);
    const held = Buffer.alloc(100e6, 1);
    await until(() => seen.at(-1)!.rss > rss + 50e6, 'more memory');
    assert.equal(held.length, 100e6);
  });

  it('tells how busy the event loop is, and how late', async (t) => {
    const seen = beats(t);
    await until(() => seen.at(-1)!.utilization < 0.5, 'an idle event loop');
    const before = seen.length;
    block(300);
    await until(() => seen.length > before, 'the next beat');
    const { utilization, delay } = seen[before]!;
    assert.ok(utilization > 0.5 && utilization <= 1, `${utilization}`);
    assert.ok(delay >= 200, `${delay}`);
    await until(() => seen.at(-1)!.utilization < 0.5, 'an idle event loop again');
    for (const beat of seen) {
      assert.ok(beat.delay >= 0 && beat.utilization >= 0 && beat.utilization <= 1, JSON.stringify(beat));
    }
  });
});

describe('The list of requests in flight', () => {
  it('has the oldest first, at most 100, with long URLs cut', async (t) => {
    const waiting: ServerResponse[] = [];
    const server = http.createServer((_request, response) => waiting.push(response));
    const connections = new Connections();
    connections.watch(server);
    const socketPath = join(temporaryDirectory(t), 'app.sock');
    server.listen(socketPath);
    await once(server, 'listening');
    t.after(() => {
      connections.destroyAll();
      server.close();
    });
    assert.deepEqual(connections.listInFlight(), []);

    const first = await RawConnection.open(socketPath);
    first.get(`/${'x'.repeat(300)}`, 'X-Request-Id: 1\r\n');
    await until(() => waiting.length === 1, 'the first');
    const second = await RawConnection.open(socketPath);
    for (let n = 0; n < 60; n++) second.get(`/second/${n}`, 'X-Request-Id: 2\r\n');
    await until(() => waiting.length === 61, 'the second');
    for (let n = 0; n < 60; n++) first.get(`/third/${n}`, 'X-Request-Id: 3\r\n');
    await until(() => waiting.length === 121, 'the third');

    const list = connections.listInFlight();
    assert.equal(list.length, 100);
    assert.deepEqual({ ...list[0], age: 0 }, { method: 'GET', url: list[0]!.url, id: '1', age: 0 });
    assert.match(list[0]!.url, /^\/x{190,198}…$/);
    assert.deepEqual(
      list.slice(1).map(({ url }) => url),
      Array.from({ length: 99 }, (_, n) => (n < 60 ? `/second/${n}` : `/third/${n - 60}`)),
    );
    const ages = list.map(({ age }) => age);
    assert.deepEqual(
      ages,
      ages.toSorted((one, other) => other - one),
    );
    assert.equal(connections.inFlight, 121);
  });
});
