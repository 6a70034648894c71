/**
 * Log files that are moved away under load: whoever asks for it, every line is there exactly once, in the old files or
 * the new ones, of the arbiter and of all workers.
 */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn } from './support/command.ts';
import { order, settled } from './support/control.ts';
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

type Line = { pid: number; msg?: string; reqId?: string };

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
    assert.match(body, /--access-logfile \S+access\.log: .*; the old file stays in use/);
    const complaints = () => server.log().filter(({ msg }) => /so the old file stays in use/.test(msg));
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
});
