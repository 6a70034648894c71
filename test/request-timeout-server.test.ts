/**
 * `--request-timeout` on a running server, through nginx and straight: the client is told, the log says what it was,
 * and the worker lives.
 */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { settled } from './support/control.ts';
import { fetchFrom, type Target } from './support/http.ts';
import { need } from './support/need.ts';
import { startNginx } from './support/nginx.ts';
import { app, type Server, startServer, until } from './support/server.ts';

async function start(t: TestContext): Promise<{ server: Server; workers: number[] }> {
  const server = await startServer(t, app('answers.mjs'), ['-w', '1', '--request-timeout', '1']);
  await settled(server, 1);
  return { server, workers: server.workers() };
}

/** Fails the test rather than wait for ever. */
const patient = () => ({ signal: AbortSignal.timeout(20_000) });

const ways: Record<string, (t: TestContext, server: Server) => Promise<Target>> = {
  straight: async (_t, { socket }) => ({ socketPath: socket }),
  'through nginx': async (t, { socket }) => {
    const nginx = await startNginx({ socket });
    t.after(() => nginx.stop());
    return { port: nginx.port };
  },
};

for (const [way, reach] of Object.entries(ways)) {
  describe(`A request that takes too long, ${way}`, way === 'straight' ? {} : need('nginx'), () => {
    it('is answered 503, told in both logs, and the worker serves on', async (t) => {
      const { server, workers } = await start(t);
      const target = await reach(t, server);
      const answer = await fetchFrom(target, '/never?q=1', patient());
      assert.equal(answer.status, 503);
      assert.equal(answer.json().message, 'the request took longer than 1 s');
      assert.equal((await fetchFrom(target, '/')).body, 'hello');
      await until(() => server.accessLog().length === 2, 'the access log');
      const line = server.accessLog().find(({ url }) => url === '/never?q=1')!;
      assert.equal(line.status, 503);
      const warnings = server.log().filter(({ level }) => level === 40);
      assert.deepEqual(
        warnings.map(({ msg, req, reqId }) => [msg, req, reqId]),
        [
          [
            'the request took longer than 1 s: answered 503',
            { method: 'GET', url: '/never?q=1' },
            line.reqId,
          ],
        ],
      );
      assert.deepEqual(server.workers(), workers);
      assert.equal(await server.stop(), 0);
    });

    it('is cut if its answer has begun, and the worker serves on', async (t) => {
      const { server, workers } = await start(t);
      const target = await reach(t, server);
      await assert.rejects(fetchFrom(target, '/endless', patient()), { code: 'ECONNRESET' });
      assert.equal((await fetchFrom(target, '/')).body, 'hello');
      const warnings = server.log().filter(({ level }) => level === 40);
      assert.deepEqual(
        warnings.map(({ msg }) => msg),
        ['the request took longer than 1 s: its connection was cut'],
      );
      assert.deepEqual(server.workers(), workers);
      assert.equal(await server.stop(), 0);
    });
  });
}

describe('Without --request-timeout', () => {
  it('a request may take longer', async (t) => {
    const server = await startServer(t, app('echo.mjs'), ['-w', '1']);
    assert.equal((await fetchFrom({ socketPath: server.socket }, '/token/x?delay=2500')).body, 'token x');
    assert.equal(await server.stop(), 0);
  });
});
