/**
 * Log files that are moved away under load: whoever asks for it, every line is there exactly once, in the old files or
 * the new ones, of the arbiter and of all workers.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn } from './support/command.ts';
import { order, settled } from './support/control.ts';
import { fetchFrom } from './support/http.ts';
import { readJsonLines } from './support/json-lines.ts';
import { load } from './support/load.ts';
import { linksOf } from './support/processes.ts';
import { app, type Server, startServer, temporaryDirectory, until } from './support/server.ts';

const ROUNDS = Number(process.env.ROUNDS ?? 3);

const ways: Record<string, (t: TestContext, server: Server) => unknown> = {
  USR1: (_t, server) => server.kill('SIGUSR1'),
  'fasticorn reopen': async (t, server) =>
    assert.equal((await fasticorn(t, ['reopen', '-b', `unix:${server.socket}`])).code, 0),
  'POST /reopen': async (_t, server) => assert.equal((await order(server, '/reopen')).status, 200),
};

type Line = { pid: number; msg?: string; reqId?: string; url?: string };

const linesOf = (path: string) => readJsonLines<Line>(path);

describe('Log files that were moved away', () => {
  for (const [what, reopen] of Object.entries(ways)) {
    it(`are opened anew at ${what}, without a line lost or told twice`, async (t) => {
      const directory = temporaryDirectory(t);
      const paths = ['access.log', 'error.log'].map((name) => join(directory, name));
      const [access, error] = paths as [string, string];
      const logs = ['--access-logfile', access, '--error-logfile', error];
      const server = await startServer(t, app('noting.mjs'), ['-w', '3', ...logs]);
      await settled(server, 3);
      const processes = [server.pid, ...server.workers()];
      const enough = new AbortController();
      const to = { socketPath: server.socket };
      const running = load({ to, connections: 12, keepAlive: false, seconds: 100, signal: enough.signal });
      try {
        for (let round = 0; round < ROUNDS; round++) {
          await until(() => linesOf(access).length > 20, 'lines in the new file');
          for (const path of paths) renameSync(path, `${path}.${round}`);
          await reopen(t, server);
          await until(
            () => !processes.flatMap(linksOf).some((file) => file.endsWith(`.log.${round}`)),
            'the old files to be let go',
          );
        }
        await until(() => linesOf(access).length > 20, 'lines in the last file');
      } finally {
        enough.abort();
      }
      const { sent, bad, refused } = await running;
      assert.deepEqual([bad, refused], [[], 0]);
      assert.equal(await server.stop(), 0);

      const all = (path: string) => [path, ...Array.from({ length: ROUNDS }, (_, n) => `${path}.${n}`)];
      const told = all(access).flatMap(linesOf);
      assert.equal(told.length, sent);
      assert.equal(new Set(told.map(({ reqId }) => reqId)).size, sent);
      const noted = all(error)
        .flatMap(linesOf)
        .filter(({ msg }) => msg === 'noted');
      assert.equal(noted.length, sent);
      assert.equal(new Set(noted.map(({ reqId }) => reqId)).size, sent);
      t.diagnostic(`${sent} requests, as many lines in ${ROUNDS + 1} access logs and as many error logs`);
      // The last files have lines of everybody.
      assert.equal(linesOf(error).at(-1)!.msg, 'stopped');
      assert.equal(new Set(linesOf(error).map(({ pid }) => pid)).size, 4);
      for (let round = 0; round < ROUNDS; round++) assert.ok(linesOf(`${access}.${round}`).length > 0);
    });
  }
});

describe('A log file that cannot be opened anew', () => {
  /** A server of one worker whose access log has a directory of its own. */
  async function begin(t: TestContext): Promise<{ server: Server; directory: string }> {
    const directory = join(temporaryDirectory(t), 'logs');
    mkdirSync(directory);
    const access = ['--access-logfile', join(directory, 'access.log')];
    const server = await startServer(t, app('echo.mjs'), ['-w', '1', ...access]);
    await settled(server, 1);
    return { server, directory };
  }

  it('stays in use, each worker says so and whoever asks is told, and none ends', async (t) => {
    const directory = join(temporaryDirectory(t), 'logs');
    mkdirSync(directory);
    const access = ['--access-logfile', join(directory, 'access.log')];
    const server = await startServer(t, app('echo.mjs'), ['-w', '2', ...access]);
    await settled(server, 2);
    const workers = server.workers();
    renameSync(directory, `${directory}.gone`);
    const { status, body } = await order(server, '/reopen');
    assert.equal(status, 409);
    assert.match(
      body,
      /--access-logfile \S+access\.log: cannot open it anew, so the old file stays in use: ENOENT/,
    );
    const complaints = () =>
      server.log().filter(({ level, msg }) => level === 50 && /so the old file stays in use/.test(msg));
    await until(() => complaints().length === 2, 'both workers to say so');
    assert.deepEqual(
      complaints()
        .map(({ pid }) => pid)
        .sort(),
      workers.sort(),
    );
    const { good } = await load({ to: { socketPath: server.socket }, count: 50 });
    assert.equal(await server.stop(), 0);
    assert.deepEqual([good, linesOf(join(`${directory}.gone`, 'access.log')).length], [50, 50]);
  });

  it('keeps no worker from taking the place of another; the standard streams have its lines until then', async (t) => {
    const directory = join(temporaryDirectory(t), 'logs');
    mkdirSync(directory);
    const [access, error] = ['access.log', 'error.log'].map((name) => join(directory, name)) as [
      string,
      string,
    ];
    const logs = ['--access-logfile', access, '--error-logfile', error];
    const server = await startServer(t, app('noting.mjs'), ['-w', '1', ...logs]);
    await settled(server, 1);
    renameSync(directory, `${directory}.gone`);
    const [victim] = server.workers() as [number];
    process.kill(victim, 'SIGKILL');
    await until(() => server.workers().some((pid) => pid !== victim), 'the next worker');
    await settled(server, 1);
    const get = (path: string) => fetchFrom({ socketPath: server.socket }, path);
    assert.equal((await get('/token/a')).body, 'token a');
    await until(() => /"url":"\/token\/a"/.test(server.stdout), 'the line of the request');
    assert.match(server.stderr, /"msg":"noted"/);
    const missing = (path: string) =>
      new RegExp(`${path}: cannot open it for appending: the directory .* does not exist`);
    for (const path of [access, error]) assert.match(server.stderr, missing(path));

    mkdirSync(directory);
    assert.equal((await order(server, '/reopen')).status, 200);
    assert.equal((await get('/token/b')).body, 'token b');
    await until(() => existsSync(access) && linesOf(access).length === 1, 'the line in the file');
    assert.match(readFileSync(error, 'utf8'), /access\.log: it can be opened again, and is in use/);
    assert.equal(await server.stop(), 0);
  });

  it('is told of while the server is paused, and nobody could have tried', async (t) => {
    const { server, directory } = await begin(t);
    assert.equal((await order(server, '/pause')).status, 200);
    await settled(server, 0);
    renameSync(directory, `${directory}.gone`);
    const { status, body } = await order(server, '/reopen');
    assert.equal(status, 409);
    assert.match(body, /access\.log: cannot open it for appending: the directory .* does not exist/);
    assert.equal(await server.stop(), 0);
  });

  it('that has no reader keeps no worker waiting that takes the place of another', async (t) => {
    const access = join(temporaryDirectory(t), 'access.pipe');
    spawnSync('mkfifo', [access]);
    const reader = spawn('cat', [access], { stdio: 'ignore' });
    t.after(() => reader.kill('SIGKILL'));
    const server = await startServer(t, app('echo.mjs'), ['-w', '1', '--access-logfile', access]);
    await settled(server, 1);
    reader.kill('SIGKILL');
    await once(reader, 'exit');
    const [victim] = server.workers() as [number];
    process.kill(victim, 'SIGKILL');
    await until(() => server.workers().some((pid) => pid !== victim), 'the next worker');
    await settled(server, 1);
    assert.equal((await fetchFrom({ socketPath: server.socket }, '/token/a')).body, 'token a');
    await until(() => /"url":"\/token\/a"/.test(server.stdout), 'the line of the request');
    assert.equal(await server.stop(), 0);
  });

  it('fails a reload, as it would fail a start', async (t) => {
    const { server, directory } = await begin(t);
    renameSync(directory, `${directory}.gone`);
    const { status, body } = await order(server, '/reload');
    assert.equal(status, 409);
    assert.match(
      body,
      /access\.log: cannot open it for appending: the directory .* does not exist; create it first/,
    );
    assert.equal(await server.stop(), 0);
  });
});

describe('Whoever has the log files opened anew', () => {
  const blocked = async (t: TestContext, milliseconds: number) => {
    const directory = temporaryDirectory(t);
    const [access, mark] = [join(directory, 'access.log'), join(directory, 'mark')];
    const server = await startServer(t, app('stuck.mjs'), ['-w', '1', '--access-logfile', access]);
    await settled(server, 1);
    const to = { socketPath: server.socket };
    assert.equal((await fetchFrom(to, '/')).status, 200);
    const blocking = fetchFrom(to, `/block?ms=${milliseconds}&mark=${mark}`);
    await until(() => existsSync(mark), 'the worker to be blocked');
    renameSync(access, `${access}.1`);
    return { access, server, blocking };
  };

  it('is answered when the last worker has done so, with every line in its file', async (t) => {
    const { access, server, blocking } = await blocked(t, 1000);
    assert.equal((await order(server, '/reopen')).status, 200);
    assert.equal(linesOf(`${access}.1`)[0]!.url, '/');
    assert.equal((await blocking).status, 200);
    assert.equal(await server.stop(), 0);
  });

  it('is told of a worker that is too busy', async (t) => {
    const { access, server, blocking } = await blocked(t, 8000);
    const { status, body } = await order(server, '/reopen');
    assert.equal(status, 409);
    assert.match(body, /worker 1 \(pid \d+\) is busy, and uses the old files until it is not/);
    assert.equal((await blocking).status, 200);
    await until(() => existsSync(access), 'the file to be opened anew');
    assert.equal(await server.stop(), 0);
  });
});
