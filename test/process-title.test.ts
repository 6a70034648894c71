/**
 * What `ps` shows of a server: which process is the arbiter, of which app, and which worker is which.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { it } from 'node:test';
import { until } from './support/server.ts';
import { Site } from './support/site.ts';

/** The column of `ps` for these processes, sorted. */
function titles(pids: readonly number[]): string[] {
  const { stdout } = spawnSync('ps', ['-ww', '-o', 'args=', '-p', pids.join(',')], { encoding: 'utf8' });
  return stdout.trim().split(/ *\n/).sort();
}

it('ps shows the arbiter with its app and the number of workers, and each worker with its generation', async (t) => {
  const site = new Site(t);
  site.deploy('one');
  const server = await site.start();
  const shown = () => titles([server.pid, ...server.workers()]);
  const become = (expected: string[]) =>
    until(() => JSON.stringify(shown()) === JSON.stringify(expected), expected.join(', ')).catch(() => {
      assert.deepEqual(shown(), expected);
    });
  await become([
    'fasticorn: arbiter [./app.mjs] 2 workers',
    'fasticorn: worker [./app.mjs] 1 gen 1',
    'fasticorn: worker [./app.mjs] 2 gen 1',
  ]);
  assert.equal((await site.ask('scale', '1')).code, 0);
  await become(['fasticorn: arbiter [./app.mjs] 1 worker', 'fasticorn: worker [./app.mjs] 1 gen 1']);
  assert.equal((await site.ask('reload')).code, 0);
  await become([
    'fasticorn: arbiter [./app.mjs] 2 workers',
    'fasticorn: worker [./app.mjs] 1 gen 2',
    'fasticorn: worker [./app.mjs] 2 gen 2',
  ]);
});
