/**
 * What `ps` shows of a server: which process is the arbiter, of which app, and which worker is which.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { it } from 'node:test';
import { need } from './support/need.ts';
import { until } from './support/server.ts';
import { FILE_DECIDES, Site } from './support/site.ts';

/** The column of `ps` for these processes, sorted. */
function titles(pids: readonly number[]): string[] {
  const { stdout } = spawnSync('ps', ['-ww', '-o', 'args=', '-p', pids.join(',')], { encoding: 'utf8' });
  return stdout.trim().split(/ *\n/).sort();
}

it(
  'ps shows the arbiter with its app and the number of workers, and each worker with its generation',
  need('ps'),
  async (t) => {
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
  },
);

it('ps shows the name that was given, which a reload may change', need('ps'), async (t) => {
  const site = new Site(t);
  site.deploy('one');
  const name = (procName: string) =>
    site.write('fasticorn.config.json', JSON.stringify({ workers: 1, procName }));
  name('shop');
  const server = await site.start([], { env: FILE_DECIDES });
  const shown = () => titles([server.pid, ...server.workers()]).join('; ');
  const arbiter = (title: string, generation: number) =>
    `fasticorn: arbiter [${title}] 1 worker; fasticorn: worker [${title}] 1 gen ${generation}`;
  await until(() => shown() === arbiter('shop', 1), 'the name');
  name('the shop');
  assert.equal((await site.ask('reload')).code, 0);
  await until(() => shown() === arbiter('the shop', 2), 'the new name');
});
