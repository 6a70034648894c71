/**
 * How access lines get where they are to go: all of them, whole, soon, and never at the expense of a worker.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Pool } from 'undici';
import { fifo } from './support/fifo.ts';
import { fetchFrom } from './support/http.ts';
import { load } from './support/load.ts';
import { app, type Server, startServer, temporaryDirectory, until } from './support/server.ts';

const file = app('answers.mjs');

/**
 * Sends requests as fast as it goes, and resolves when all are answered with 200. Each has a connection of its own,
 * as otherwise one worker may have accepted all connections.
 */
async function send(server: Server, count: number, path: (n: number) => string, headers = {}): Promise<void> {
  const pool = new Pool('http://localhost', { socketPath: server.socket, connections: 16, pipelining: 0 });
  let next = 0;
  const client = async () => {
    while (next < count) {
      const { statusCode, body } = await pool.request({ method: 'GET', path: path(next++), headers });
      await body.dump();
      assert.equal(statusCode, 200);
    }
  };
  await Promise.all(Array.from({ length: 16 }, client));
  await pool.destroy();
}

const complaints = (server: Server) =>
  server.log().filter((line) => /access log/.test(line.msg) && line.level >= 50);

/** Runs while the same workers live, and each of them answers. */
async function assertUnharmed(server: Server, workers: number[]): Promise<void> {
  for (let n = 0; n < 20; n++) {
    assert.equal((await fetchFrom({ socketPath: server.socket }, '/')).body, 'hello');
  }
  assert.deepEqual(server.workers(), workers);
}

describe('The access log', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`loses no line when ${signal} ends the server`, async (t) => {
      const server = await startServer(t, app('echo.mjs'));
      const { sent, good } = await load({ to: { socketPath: server.socket }, count: 4000 });
      assert.equal(good, sent);
      server.kill(signal);
      assert.equal((await server.exited).code, 0);
      assert.equal(server.accessLog().length, sent);
    });
  }

  it('holds whole lines when four workers write to one pipe', async (t) => {
    const pipe = fifo(t);
    const server = await startServer(t, file, ['-w', '4'], { stdio: ['ignore', pipe.fd, 'pipe'] });
    pipe.handOver();
    await send(server, 20_000, (n) => `/${n}/${'long'.repeat((n * 7) % 500)}`);
    await server.stop();
    await pipe.ended;
    const lines = pipe
      .text()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, string>);
    const numbers = new Set(lines.map(({ url }) => Number(url!.split('/')[1])));
    assert.equal(new Set(lines.map(({ pid }) => pid)).size, 4, 'every worker wrote');
    assert.equal(lines.length, 20_000);
    assert.equal(numbers.size, 20_000);
  });

  it('has a line soon, also when nothing else happens', async (t) => {
    const server = await startServer(t, file);
    await fetchFrom({ socketPath: server.socket }, '/');
    await until(() => server.accessLog().length === 1, 'the line');
  });

  it('goes to a file with --access-logfile, behind what is there', async (t) => {
    const path = join(temporaryDirectory(t), 'access.log');
    writeFileSync(path, 'before\n');
    const server = await startServer(t, file, ['--access-logfile', path]);
    await fetchFrom({ socketPath: server.socket }, '/');
    await server.stop();
    assert.match(readFileSync(path, 'utf8'), /^before\n\{.*"url":"\/".*\}\n$/);
    assert.equal(server.stdout, '');
  });

  it('is off with --access-logfile off', async (t) => {
    const server = await startServer(t, file, ['--access-logfile', 'off'], { cwd: temporaryDirectory(t) });
    await fetchFrom({ socketPath: server.socket }, '/');
    await server.stop();
    assert.equal(server.stdout, '');
    assert.ok(!existsSync('off'));
  });
});

describe('A worker goes on serving', () => {
  it('when the disk of the access log is full, and complains once, not for every line', async (t) => {
    const server = await startServer(t, file, ['-w', '1', '--access-logfile', '/dev/full']);
    const workers = server.workers();
    await until(async () => {
      await send(server, 50, () => '/');
      return complaints(server).length > 0;
    }, 'a complaint');
    await assertUnharmed(server, workers);
    await send(server, 500, () => '/');
    assert.match(complaints(server)[0]!.msg, /\(\/dev\/full\): ENOSPC/);
    assert.equal(complaints(server).length, 1);
  });

  it('when the disk of the access log is full, whose lines standard output gets when the worker ends', async (t) => {
    const server = await startServer(t, file, ['-w', '1', '--access-logfile', '/dev/full']);
    await send(server, 500, (n) => `/${n}`);
    assert.equal(await server.stop(), 0);
    const urls = new Set(server.accessLog().map(({ url }) => url));
    assert.equal(urls.size, 500);
    assert.match(
      complaints(server).at(-1)!.msg,
      /^access log \(\/dev\/full\): it took no more until the process ended: 500 lines have gone to standard output, 0 were lost$/,
    );
  });

  it('when the disk of the error log is full', async (t) => {
    const server = await startServer(t, file, ['--error-logfile', '/dev/full']);
    const workers = server.workers();
    assert.equal((await fetchFrom({ socketPath: server.socket }, '/boom')).status, 500);
    await assertUnharmed(server, workers);
    assert.equal(await server.stop(), 0);
  });

  for (const [name, index] of [
    ['standard output', 1],
    ['standard error', 2],
  ] as const) {
    it(`when nobody reads its ${name} any more`, async (t) => {
      const pipe = fifo(t);
      const stdio: ['ignore', number | 'pipe', number | 'pipe'] = ['ignore', 'pipe', 'pipe'];
      stdio[index] = pipe.fd;
      const server = await startServer(t, file, [], { stdio });
      const workers = server.workers();
      pipe.handOver();
      pipe.closeReader();
      for (let n = 0; n < 10; n++) await fetchFrom({ socketPath: server.socket }, '/boom');
      if (index === 1) await until(() => complaints(server).length > 0, 'a complaint');
      await assertUnharmed(server, workers);
      assert.equal(await server.stop(), 0);
    });
  }

  it('when nobody reads its standard output any more, and the app itself writes there', async (t) => {
    const pipe = fifo(t);
    const server = await startServer(t, file, [], { stdio: ['ignore', pipe.fd, 'pipe'] });
    const workers = server.workers();
    pipe.handOver();
    pipe.closeReader();
    for (let n = 0; n < 10; n++) await fetchFrom({ socketPath: server.socket }, '/log');
    await assertUnharmed(server, workers);
  });
});

describe('A disk that was full and has room again', () => {
  it('gets whole lines as before, and the error log says how many were lost', async (t) => {
    const disk = smallDisk(t);
    if (!disk) return t.skip('needs root, to mount a small tmpfs');
    const path = join(disk, 'access.log');
    const filler = join(disk, 'filler');
    writeFileSync(filler, Buffer.alloc(16 * 1024 * 1024 - 50_000));
    const server = await startServer(t, file, ['--access-logfile', path]);
    // More than the workers hold back in memory while they wait for room.
    const headers = { 'user-agent': 'u'.repeat(1000), referer: 'r'.repeat(1000) };
    let sent = 0;
    await until(async () => {
      await send(server, 500, () => `/${'x'.repeat(2000)}`, headers);
      sent += 500;
      return sent >= 2000 && complaints(server).length === 2;
    }, 'a complaint of each worker');

    rmSync(filler);
    const again = () =>
      server.log().flatMap(({ msg }) => /writing again, (\d+) lines? w/.exec(msg)?.[1] ?? []);
    await until(() => again().length === 2, 'both workers to write again');
    await send(server, 1000, () => '/after');
    await server.stop();

    const lines = readFileSync(path, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { url: string });
    const lost = again().map(Number);
    assert.equal(lines.filter(({ url }) => url === '/after').length, 1000);
    assert.ok(
      lost.some((count) => count > 0),
      `${lost}`,
    );
    assert.equal(lines.length + lost[0]! + lost[1]!, sent + 1000);
  });

  /** A file system of 16 MB; undefined where it may not be mounted. */
  function smallDisk(t: TestContext): string | undefined {
    const mounted: string[] = [];
    // Before the directory is removed, which what comes first here does first.
    t.after(() => spawnSync('umount', ['--lazy', ...mounted]));
    const directory = temporaryDirectory(t);
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', directory]).status === 0)
      mounted.push(directory);
    return mounted[0];
  }
});
