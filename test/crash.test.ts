/**
 * What becomes of workers that die or break after they were ready: they are replaced, the log says why, and what
 * they had begun is finished where that is possible.
 */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { settled } from './support/control.ts';
import { RawConnection } from './support/raw.ts';
import { app, isRunning, type Server, startServer, temporaryDirectory, until } from './support/server.ts';

const file = app('crashing.mjs');

/** One request on a connection of its own; the answer's body. */
async function get(server: Server, path: string): Promise<string> {
  const connection = await RawConnection.open(server.socket);
  connection.get(path, 'Connection: close\r\n');
  await until(() => connection.ended || connection.error, `the answer to ${path}`);
  return connection.received.split('\r\n\r\n')[1] ?? '';
}

const says = (server: Server, level: number, text: RegExp) => () =>
  server.log().some((line) => line.level === level && text.test(line.msg));

describe('A worker that dies', () => {
  it('is replaced, and the log says by which signal and that it may have been memory', async (t) => {
    const server = await startServer(t, file, ['-w', '1']);
    const [worker] = server.workers();
    process.kill(worker!, 'SIGKILL');
    await until(
      says(server, 50, /died: it was ended by SIGKILL, perhaps because memory ran out/),
      'the reason',
    );
    assert.notEqual(await get(server, '/pid'), String(worker));
  });

  it('is replaced, and the log says its exit code', async (t) => {
    const server = await startServer(t, file, ['-w', '1']);
    assert.equal(await get(server, '/exit'), 'bye');
    await until(says(server, 50, /exited with code 7/), 'the reason');
    assert.equal(await get(server, '/'), 'hello');
  });

  it('leaves the others serving, and nobody who comes meanwhile is refused', async (t) => {
    const server = await startServer(t, file, ['-w', '2']);
    await settled(server, 2);
    const [victim, survivor] = server.workers();
    process.kill(victim!, 'SIGKILL');
    await until(() => !isRunning(victim!), 'the worker to be dead');
    assert.equal(await get(server, '/'), 'hello');
    await settled(server, 2);
    const workers = server.workers();
    assert.ok(workers.includes(survivor!));
    for (const pid of workers) process.kill(pid, 'SIGKILL');
    await until(() => !workers.some(isRunning), 'both to be dead');
    // No worker is there now: the kernel holds the connection for the next one.
    assert.equal(await get(server, '/'), 'hello');
  });
});

describe('An error that the app does not catch', () => {
  for (const [path, message] of [
    ['/uncaught', 'thrown in a timer'],
    ['/rejection', 'rejected and forgotten'],
  ] as const) {
    it(`has its stack logged once, and the worker replaced (${path})`, async (t) => {
      const server = await startServer(t, file, ['-w', '1']);
      const [worker] = server.workers();
      assert.equal(await get(server, path), 'the answer came before the error');
      await until(() => !isRunning(worker!), 'the worker to end');
      const stacks = server
        .log()
        .filter(({ err }) => (err as { stack: string })?.stack.includes('crashing.mjs'));
      assert.equal(stacks.length, 1);
      assert.equal((stacks[0]!.err as Error).message, message);
      assert.notEqual(await get(server, '/pid'), String(worker));
    });
  }

  it('does not cut the other requests of the worker', async (t) => {
    const server = await startServer(t, file, ['-w', '1']);
    const slow = await RawConnection.open(server.socket);
    slow.get('/slow?ms=1500');
    await get(server, '/pid');
    await get(server, '/uncaught');
    await until(says(server, 50, /met an error that the app did not catch/), 'the error to be seen');
    assert.equal(slow.answers, 0);
    await until(() => slow.answers === 1, 'the slow answer');
    assert.match(slow.received, /connection: close/i);
  });
});

describe('An app that no longer boots', () => {
  it('leaves the workers that serve alone, is tried again and again, and recovers', async (t) => {
    const broken = join(temporaryDirectory(t), 'broken');
    const server = await startServer(t, file, ['-w', '2'], { env: { BROKEN_IF: broken } });
    const serving = new Set<string>();
    await until(async () => serving.add(await get(server, '/pid')).size === 2, 'both workers to serve');
    const survivor = server.workers()[1]!;
    writeFileSync(broken, '');
    process.kill(server.workers()[0]!, 'SIGKILL');
    await until(
      says(server, 40, /worker 1 died young 3 times in a row; the next one starts in 0\.4 s/),
      'the third failure',
    );
    assert.ok(isRunning(survivor));
    assert.equal(await get(server, '/pid'), String(survivor));
    rmSync(broken);
    await settled(server, 2);
    assert.equal(await server.stop(), 0);
  });
});
