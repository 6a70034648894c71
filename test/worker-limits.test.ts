/**
 * Workers that have served long enough: each is replaced before it goes, one after the other, and nothing is lost.
 */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { settled, statusOf, watch } from './support/control.ts';
import { fetchFrom } from './support/http.ts';
import { load } from './support/load.ts';
import { need } from './support/need.ts';
import { startNginx } from './support/nginx.ts';
import { app, isRunning, type Server, startServer, temporaryDirectory, until } from './support/server.ts';

/** So many workers are replaced under load. */
const REPLACED = Number(process.env.REPLACED ?? 3);

const replaced = (server: Server, why: string) =>
  server.log().filter(({ msg }) => msg.endsWith(`goes: its replacement is ready (${why})`)).length;

const limits = [
  { flag: '--max-requests', args: ['--max-requests', '40', '--max-requests-jitter', '40'], leak: 0 },
  { flag: '--max-memory', args: ['--max-memory', '130'], leak: 1 << 20 },
  // Passed by every worker at once, as nobody would want it.
  { flag: '--max-memory', args: ['--max-memory', '1'], leak: 0 },
  { flag: '--max-lifetime', args: ['--max-lifetime', '3'], leak: 0 },
];

describe('A worker that has reached its limit is replaced without loss', need('nginx'), () => {
  for (const { flag, args, leak } of limits) {
    for (const connection of leak === 0 && args.length > 2
      ? (['pool', 'close'] as const)
      : (['pool'] as const)) {
      it(`${args.join(' ')} (${connection})`, async (t) => {
        const server = await startServer(
          t,
          app('leaky.mjs'),
          ['-w', '2', '--access-logfile', 'off', ...args],
          {
            env: { LEAK: String(leak) },
          },
        );
        await settled(server, 2);
        const nginx = await startNginx({ socket: server.socket, connection });
        t.after(() => nginx.stop());
        const look = watch(server);
        const enough = new AbortController();
        const to = { port: nginx.port };
        const running = load({ to, connections: 8, delay: 20, seconds: 200, signal: enough.signal });
        await until(() => replaced(server, flag) >= REPLACED, `${REPLACED} replacements`, 100).finally(() =>
          enough.abort(),
        );
        const { sent, bad, refused } = await running;
        const { fewestReady, mostBooting } = await look();
        t.diagnostic(`${sent} requests, ${bad.length} lost, ${replaced(server, flag)} workers replaced`);
        assert.deepEqual([bad, refused], [[], 0]);
        assert.deepEqual([fewestReady, mostBooting], [2, 1]);
        assert.equal(server.log().filter(({ level }) => level > 30).length, 0);
        assert.equal(await nginx.errorLog(), '');
        assert.equal(await server.stop(), 0);
      });
    }
  }
});

describe('A worker that is to be replaced', () => {
  it('serves on for as long as its replacement cannot boot', async (t) => {
    const flag = join(temporaryDirectory(t), 'broken');
    const server = await startServer(t, app('crashing.mjs'), ['-w', '1', '--max-lifetime', '3'], {
      env: { BROKEN_IF: flag },
    });
    await settled(server, 1);
    writeFileSync(flag, '');
    const { pid } = (await statusOf(server)).workers[0]!;
    await until(() => (server.stderr.match(/died young/g)?.length ?? 0) >= 3, 'replacements to fail');
    assert.equal(Number((await fetchFrom({ socketPath: server.socket }, '/pid')).body), pid);
    rmSync(flag);
    await until(() => !isRunning(pid!), 'it to be replaced');
    assert.ok(replaced(server, '--max-lifetime') >= 1);
    assert.equal((await fetchFrom({ socketPath: server.socket }, '/')).body, 'hello');
    assert.equal(await server.stop(), 0);
  });
});
