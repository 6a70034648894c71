/**
 * What workers tell V8. That it helps is measured by the benchmark, and for connections by `short-connections.test.ts`.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { flagsFor, nameOf, TUNINGS } from '../src/worker/v8-tuning.ts';
import { fetchFrom } from './support/http.ts';
import { app, startServer, until } from './support/server.ts';

describe('what workers tell V8', () => {
  it('is what V8 knows, and does not do by itself', () => {
    const known = execFileSync(process.execPath, ['--v8-options'], { encoding: 'utf8' });
    for (const { flag } of TUNINGS) {
      const [, standard] =
        new RegExp(`^ +--${nameOf(flag)} \\(.*\\n.* default: (\\S+)$`, 'm').exec(known) ?? [];
      assert.ok(standard, `${flag} is none of ${process.version}`);
      assert.notEqual(standard, flag);
    }
  });

  it('is everything on the newest V8', () => {
    const all = TUNINGS.map(({ flag }) => flag);
    assert.deepEqual(flagsFor('99.1.2', []), all);
  });

  it('is nothing on a V8 where it is not worth it', () => {
    assert.deepEqual(flagsFor('12.4.254.21-node.33', []), []);
  });

  it('is told by a worker that is ready, when its app is loaded', async (t) => {
    const { socket } = await startServer(t, app('flags.mjs'), ['-w', '1', '--app-type', 'listener']);
    // A request may come before.
    const told = async () => (await fetchFrom({ socketPath: socket }, '/')).json<string[]>();
    const wanted = flagsFor(process.versions.v8, []);
    await until(async () => (await told()).length === wanted.length, 'the flags');
    assert.deepEqual(await told(), wanted);
  });

  it('leaves out what the operator has decided, in whatever spelling', () => {
    const own = ['--allocation_site_pretenuring', '--max-inlined-bytecode-size-cumulative=920', '--import=x'];
    assert.deepEqual(flagsFor('99.1.2', own), ['--max-inlined-bytecode-size=1200']);
  });
});
