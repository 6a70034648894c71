/**
 * A slot whose workers die again and again: the others serve on, and the log tells of it at the pace of the backoff.
 */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { look, order, readyWorkers, settled, statusOf } from './support/control.ts';
import { load } from './support/load.ts';
import { app, startServer, temporaryDirectory, until } from './support/server.ts';

describe('A slot whose workers cannot boot any more', () => {
  it('waits ever longer; the others serve; the log says how often and why, once per step', async (t) => {
    const flag = join(temporaryDirectory(t), 'broken');
    const server = await startServer(t, app('echo-or-crash.mjs'), ['-w', '2'], { env: { BROKEN_IF: flag } });
    await settled(server, 2);
    const [survivor, dying] = (await statusOf(server)).workers.map(({ pid }) => pid!);
    writeFileSync(flag, '');
    process.kill(dying!, 'SIGKILL');
    const steps = () =>
      server.log().flatMap(({ msg }) => {
        const found =
          /^worker 2 died young(?: (\d+) times in a row)?; the next one starts in ([\d.]+) s$/.exec(msg);
        return found ? [{ times: Number(found[1] ?? 1), delay: Number(found[2]) }] : [];
      });
    const enough = new AbortController();
    const to = { socketPath: server.socket };
    const running = load({ to, connections: 4, delay: 5, seconds: 100, signal: enough.signal });
    await until(() => steps().length >= 5, 'five deaths', 60).finally(() => enough.abort());
    const { bad, refused, sent } = await running;
    // What the one that was killed had in hand is lost: there was nothing then.
    assert.deepEqual([bad, refused], [[], 0]);
    assert.ok(sent > 0);

    const told = steps().slice(0, 5);
    const first = told[0]!.times;
    assert.deepEqual(
      told.map(({ times }) => times),
      [0, 1, 2, 3, 4].map((n) => first + n),
    );
    assert.deepEqual(
      told.map(({ delay }) => delay),
      [...told].map(({ delay }) => delay).sort((one, other) => one - other),
    );
    const reasons = server.log().filter(({ msg }) => msg.endsWith('failed to start: broken on purpose'));
    assert.ok(reasons.length >= 4 && reasons.length <= steps().length);
    assert.match((await statusOf(server)).exits[0]!.reason, /broken on purpose$/);
    assert.deepEqual(
      (await readyWorkers(server)).map(({ pid }) => pid),
      [survivor],
    );
    assert.equal((await look(server, '/healthz')).status, 200);

    rmSync(flag);
    await settled(server, 2);
    assert.equal((await readyWorkers(server)).find(({ worker }) => worker === 1)!.pid, survivor);
    assert.equal(await server.stop(), 0);
  });

  it('can be emptied, and filled at once by a resume', async (t) => {
    const flag = join(temporaryDirectory(t), 'broken');
    const server = await startServer(t, app('echo-or-crash.mjs'), ['-w', '1'], { env: { BROKEN_IF: flag } });
    await settled(server, 1);
    writeFileSync(flag, '');
    process.kill(server.workers()[0]!, 'SIGKILL');
    await until(() => /died young 5 times/.test(server.stderr), 'five deaths');
    assert.equal((await look(server, '/healthz')).status, 503);
    rmSync(flag);
    await order(server, '/pause');
    await order(server, '/resume');
    await settled(server, 1);
    assert.equal(await server.stop(), 0);
  });
});
