/**
 * What becomes of the workers when their arbiter is killed: they make room for a next server, answer everybody who
 * has come, and go.
 */
import assert from 'node:assert/strict';
import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { settled } from './support/control.ts';
import { fetchFrom } from './support/http.ts';
import { freePort } from './support/port.ts';
import { RawConnection } from './support/raw.ts';
import {
  app,
  isRunning,
  namesOf,
  type Server,
  startServer,
  temporaryDirectory,
  until,
} from './support/server.ts';

/** Starts the lifecycle app with two workers; `marks()` counts what its handlers and hooks have done. */
async function start(t: TestContext, args: string[] = [], env: Record<string, string> = {}) {
  const file = join(temporaryDirectory(t), 'marks');
  writeFileSync(file, '');
  const server = await startServer(t, app('lifecycle.mjs'), ['-w', '2', ...args], {
    env: { MARKS: file, ...env },
  });
  await settled(server, 2);
  const marks = (name: string) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line === name).length;
  return { server, marks, workers: server.workers() };
}

/** Keeps so many workers busy, each in its event loop, until `release`. */
async function block(t: TestContext, server: Server, marks: (name: string) => number, count: number) {
  const enough = join(temporaryDirectory(t), 'enough');
  const blocked: RawConnection[] = [];
  while (marks('block') < count) {
    const before = marks('block');
    const connection = await RawConnection.open(server.socket);
    connection.get(`/block?until=${enough}`);
    blocked.push(connection);
    await until(() => marks('block') > before, 'a worker to be blocked');
  }
  return { blocked, release: () => writeFileSync(enough, '') };
}

const allGone = (workers: number[]) => until(() => !workers.some(isRunning), 'the workers to be gone', 40);

describe('the workers of a killed arbiter', () => {
  it('remove both names, run onClose, and end', async (t) => {
    const { server, marks, workers } = await start(t);
    server.kill('SIGKILL');
    await until(() => namesOf(server.socket).length === 0, 'the names to be gone');
    await allGone(workers);
    assert.equal(marks('onClose'), 2);
  });

  it('end after the graceful timeout, also if onClose hangs', async (t) => {
    const { server, marks, workers } = await start(t, ['--graceful-timeout', '2'], { HANG_ON_CLOSE: '1' });
    server.kill('SIGKILL');
    await until(() => marks('onClose') === 2, 'both to hang');
    await allGone(workers);
  });

  it('of a server on a port leave a control socket, which the next one removes', async (t) => {
    const left = ({ pid }: Server) =>
      readdirSync('/tmp').filter((name) => name.includes(`fasticorn-${pid}.`));
    const start = async () => {
      const args = ['-w', '1', '-b', `127.0.0.1:${await freePort()}`];
      const server = await startServer(t, app('echo.mjs'), args, { early: true });
      await until(() => left(server).length === 2, 'its control socket');
      return server;
    };
    const first = await start();
    first.workers();
    first.kill('SIGKILL');
    await first.exited;
    assert.equal(left(first).length, 2);
    const second = await start();
    await until(() => left(first).length === 0, 'the names to be gone');
    assert.equal(await second.stop(), 0);
    assert.deepEqual(left(second), []);
  });

  it('answer what was in flight', async (t) => {
    const { server, marks, workers } = await start(t);
    const connection = await RawConnection.open(server.socket);
    connection.get('/slow?ms=1500');
    await until(() => marks('slow') === 1, 'the request to be in flight');
    server.kill('SIGKILL');
    await allGone(workers);
    assert.match(connection.received, /\r\n\r\nslow$/);
  });

  it('answer 200 connections that were in the queue', async (t) => {
    const { server, marks, workers } = await start(t);
    const { release } = await block(t, server, marks, 2);
    const waiting = await Promise.all(Array.from({ length: 200 }, () => RawConnection.open(server.socket)));
    for (const connection of waiting) connection.post('/body', 'queued');
    server.kill('SIGKILL');
    await server.exited;
    release();
    await allGone(workers);
    assert.equal(waiting.filter(({ received }) => received.endsWith('\r\n\r\nqueued')).length, 200);
    assert.equal(existsSync(server.socket), false);
  });
});

describe('a start right after the arbiter was killed', () => {
  for (const blocked of [0, 1]) {
    const title = blocked === 0 ? 'succeeds' : 'succeeds also with the loop of one of the workers blocked';
    it(`${title}; the orphans leave its socket alone`, async (t) => {
      const { server, marks, workers } = await start(t);
      const blockers = await block(t, server, marks, blocked);
      server.kill('SIGKILL');
      const next = await startServer(t, app('echo.mjs'), ['-w', '1'], {
        socket: server.socket,
        early: true,
      });
      await settled(next, 1);
      const { ino } = lstatSync(server.socket);
      blockers.release();
      await allGone(workers);
      for (const { received } of blockers.blocked) assert.match(received, /\r\n\r\nblocked$/);
      assert.equal(lstatSync(server.socket).ino, ino);
      assert.equal((await fetchFrom({ socketPath: server.socket }, '/')).body, 'hello');
      assert.deepEqual(
        next.log().filter(({ level }) => level >= 40),
        [],
      );
    });
  }
});
