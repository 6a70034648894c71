/**
 * Signals that reach a worker itself, from a terminal's group or a hasty operator: the arbiter decides.
 */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { settled, statusOf } from './support/control.ts';
import { fetchFrom } from './support/http.ts';
import { app, type Server, startServer, until } from './support/server.ts';

async function startOne(t: TestContext): Promise<{ server: Server; worker: number }> {
  const server = await startServer(t, app('echo.mjs'), ['-w', '1']);
  await settled(server, 1);
  return { server, worker: server.workers()[0]! };
}

const answering = async (server: Server) =>
  Number((await fetchFrom({ socketPath: server.socket }, '/pid')).body);

describe('a worker that gets', () => {
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGTTIN', 'SIGTTOU'] as const) {
    it(`${signal} goes on, and is not replaced`, async (t) => {
      const { server, worker } = await startOne(t);
      process.kill(worker, signal);
      // Answered by a process that has had the signal: it is delivered before the next thing that the process does.
      assert.equal(await answering(server), worker);
      assert.equal(await answering(server), worker);
      // What the worker had to say of the signal is heard before a beat that tells of the answers.
      await until(async () => (await statusOf(server)).workers[0]!.requests === 2, 'a beat');
      const { workers } = await statusOf(server);
      assert.deepEqual(
        workers.map(({ pid, phase }) => [pid, phase]),
        [[worker, 'ready']],
      );
      assert.deepEqual(server.workers(), [worker]);
      assert.equal(await server.stop(), 0);
    });
  }

  it('SIGTERM is replaced first, and then goes', async (t) => {
    const { server, worker } = await startOne(t);
    process.kill(worker, 'SIGTERM');
    // Somebody answers at every moment.
    await until(async () => (await answering(server)) !== worker, 'another worker to answer');
    await until(() => !server.workers().includes(worker), 'the old one to be gone');
    const [replacement] = server.workers();
    assert.equal(await answering(server), replacement);
    const order = server.log().map(({ msg }) => msg.replace(/ \(pid \d+\)/, ''));
    assert.deepEqual(order.slice(-2), [
      'worker 1 is ready',
      'worker 1 goes: its replacement is ready (SIGTERM)',
    ]);
    assert.equal(await server.stop(), 0);
  });
});
