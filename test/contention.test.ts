/**
 * Several servers that want one path at the same time, and what killed ones have left there.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { probe } from '../src/arbiter/socket-probe.ts';
import { fetchFrom } from './support/http.ts';
import { deadSocket, liveServer } from './support/neighbours.ts';
import {
  app,
  isRunning,
  namesOf,
  type Server,
  startServer,
  temporaryDirectory,
  until,
} from './support/server.ts';

const CLAIMANT = fileURLToPath(new URL('./support/claimant.ts', import.meta.url));

/** Starts so many servers on one path at once, and sorts out who has won. */
async function race(t: TestContext, count: number, path: string) {
  const servers = await Promise.all(
    Array.from({ length: count }, () =>
      startServer(t, app('echo.mjs'), ['-w', '1'], { socket: path, early: true }),
    ),
  );
  const isReady = (server: Server) => server.log().some(({ msg }) => msg.startsWith('ready after'));
  const ended = new Set<Server>();
  for (const server of servers) void server.exited.then(() => ended.add(server));
  await until(() => servers.every((server) => ended.has(server) || isReady(server)), 'the race to end', 60);
  return { servers, winners: servers.filter((server) => !ended.has(server)) };
}

describe('of servers that start at the same time on one path exactly one wins', () => {
  const cases = [
    { count: 2, dead: false, rounds: 3 },
    { count: 2, dead: true, rounds: 3 },
    { count: 8, dead: false, rounds: 2 },
    { count: 8, dead: true, rounds: 2 },
  ];
  for (const { count, dead, rounds } of cases) {
    it(`${count} servers, ${dead ? 'a dead socket in their way' : 'nothing there'}`, async (t) => {
      const path = join(temporaryDirectory(t), 'app.sock');
      for (let round = 0; round < rounds; round++) {
        if (dead) await deadSocket(path);
        const { servers, winners } = await race(t, count, path);
        assert.equal(winners.length, 1);
        const winner = winners[0]!;
        for (const loser of servers.filter((server) => server !== winner)) {
          const { code } = await loser.exited;
          assert.equal(code, 1);
          const complaint = loser.stderr.trim().split('\n').at(-1)!;
          assert.match(complaint, /--bind unix:\S*: (another server|.*hidden name)/);
          assert.doesNotMatch(loser.stderr, /\n {4}at /);
        }
        assert.equal((await fetchFrom({ socketPath: path }, '/')).body, 'hello');
        await until(() => namesOf(path).length === 2, 'the losers’ names to be gone');
        assert.equal(await winner.stop(), 0);
        assert.deepEqual(readdirSync(dirname(path)), []);
      }
    });
  }

  // What real servers reach in the same instant only now and then, again and again.
  it('8 processes that claim the place of a dead socket, 40 times', { timeout: 120_000 }, async (t) => {
    const path = join(temporaryDirectory(t), 'app.sock');
    const claimants = Array.from({ length: 8 }, () => {
      const child = fork(CLAIMANT, { execArgv: ['--import', 'tsx'] });
      t.after(() => child.kill('SIGKILL'));
      return child;
    });
    const all = (step: string) =>
      Promise.all(
        claimants.map(async (child) => {
          child.send([step, path]);
          const [answer] = await once(child, 'message');
          return String(answer);
        }),
      );
    for (let round = 0; round < 40; round++) {
      await deadSocket(path);
      await all('bind');
      const results = await all('publish');
      const won = results.filter((result) => result === 'won');
      assert.equal(won.length, 1, results.join('\n'));
      for (const result of results) assert.match(result, /^won$|^UserError: /);
      assert.equal(await probe(path), 'live');
      await all('withdraw');
      assert.deepEqual(readdirSync(dirname(path)), []);
    }
  });
});

describe('hidden names that killed servers have left', () => {
  it('are removed by the next start', async (t) => {
    const path = join(temporaryDirectory(t), 'app.sock');
    for (let i = 0; i < 3; i++) await deadSocket(join(dirname(path), `.app.sock.0000000${i}`));
    const server = await startServer(t, app('echo.mjs'), ['-w', '1'], { socket: path });
    await until(() => namesOf(path).length === 2, 'the old names to be gone');
    assert.equal((await fetchFrom({ socketPath: path }, '/')).body, 'hello');
    assert.equal(await server.stop(), 0);
    assert.deepEqual(readdirSync(dirname(path)), []);
  });

  it('are what a server leaves of which every process was killed, and the next one starts all the same', async (t) => {
    const path = join(temporaryDirectory(t), 'app.sock');
    const first = await startServer(t, app('echo.mjs'), ['-w', '1'], { socket: path });
    await until(() => first.workers().length === 1, 'its worker');
    const workers = first.workers();
    // Stopped first, so that the worker cannot clean up.
    for (const pid of workers) process.kill(pid, 'SIGSTOP');
    first.kill('SIGKILL');
    for (const pid of workers) process.kill(pid, 'SIGKILL');
    await first.exited;
    await until(() => !workers.some(isRunning), 'its worker to be gone');
    assert.equal(namesOf(path).length, 2);
    await startServer(t, app('echo.mjs'), ['-w', '1'], { socket: path, early: true });
    await until(
      async () => (await fetchFrom({ socketPath: path }, '/').catch(() => undefined))?.body === 'hello',
      'an answer',
    );
    await until(() => namesOf(path).length === 2, 'the old hidden name to be gone');
  });

  it('stay if they belong to others: a live server, another path, a file', async (t) => {
    const directory = temporaryDirectory(t);
    await liveServer(t, join(directory, '.app.sock.00000000'));
    await deadSocket(join(directory, '.other.sock.00000001'));
    writeFileSync(join(directory, '.app.sock.00000002'), '');
    const before = readdirSync(directory);
    const server = await startServer(t, app('echo.mjs'), ['-w', '1'], {
      socket: join(directory, 'app.sock'),
    });
    assert.equal(await server.stop(), 0);
    assert.deepEqual(readdirSync(directory), before);
  });
});
