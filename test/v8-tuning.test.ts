/**
 * What workers tell V8. That it helps is measured by the benchmark, for connections by `short-connections.test.ts`, and
 * for buffers by `buffers.test.ts`.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it, type TestContext } from 'node:test';
import { machine } from '../src/machine.ts';
import { flagsFor, nameOf, TUNINGS } from '../src/worker/v8-tuning.ts';
import { fetchFrom } from './support/http.ts';
import { app, startServer, until } from './support/server.ts';

const NODE_26 = '14.6.202.34-node.40';
const BUFFERS = '--external-memory-accounted-in-global-limit';
const AT_REST = '--memory-reducer-gc-count=0';

/** What this Node's workers tell, where there is as much memory as they want. */
const mine = flagsFor(process.versions.v8, [], false);

async function toldBy(t: TestContext, wanted: readonly string[], ...args: string[]) {
  const { socket } = await startServer(t, app('flags.mjs'), ['-w', '1', '--app-type', 'listener', ...args]);
  const told = async () => (await fetchFrom({ socketPath: socket }, '/')).json<string[]>();
  // A request may come before.
  await until(async () => (await told()).length >= wanted.length, 'the flags');
  return told();
}

describe('what workers tell V8', () => {
  it('is what V8 knows, and does not do by itself', () => {
    const known = execFileSync(process.execPath, ['--v8-options'], { encoding: 'utf8' });
    for (const flag of mine) {
      const [, standard] =
        new RegExp(`^ +--${nameOf(flag)} \\(.*\\n.* default: (\\S+)$`, 'm').exec(known) ?? [];
      assert.ok(standard, `${flag} is none of ${process.version}`);
      assert.notEqual(standard, flag);
    }
  });

  it('is everything on the V8 of Node 26', () => {
    const all = TUNINGS.map(({ flag }) => flag);
    assert.deepEqual(flagsFor(NODE_26, [], false), all);
  });

  it('is, on a newer one, what that does not do by itself', () => {
    const rest = TUNINGS.map(({ flag }) => flag).filter((flag) => flag !== BUFFERS);
    for (const version of ['14.8.1', '99.1.2']) assert.deepEqual(flagsFor(version, [], false), rest);
  });

  it('is nothing on a V8 where it is not worth it', () => {
    assert.deepEqual(flagsFor('12.4.254.21-node.33', [], false), []);
  });

  it('leaves out what takes memory where that is limited', () => {
    const rest = flagsFor(NODE_26, [], false).filter((flag) => flag !== BUFFERS && flag !== AT_REST);
    assert.deepEqual(flagsFor(NODE_26, [], true), rest);
  });

  it('leaves out what the operator has decided, in whatever spelling', () => {
    const own = ['--allocation_site_pretenuring', '--max-inlined-bytecode-size-cumulative=920', '--import=x'];
    assert.deepEqual(flagsFor(NODE_26, own, false), ['--max-inlined-bytecode-size=1200', BUFFERS, AT_REST]);
    for (const no of ['--no-', '--no_', '--no', '-no-']) {
      assert.ok(!flagsFor(NODE_26, [BUFFERS.replace('--', no)], false).includes(BUFFERS));
    }
  });

  const skip = machine().memory !== undefined && 'memory is limited here';
  it('is told by a worker that is ready, when its app is loaded', { skip }, async (t) => {
    assert.deepEqual(await toldBy(t, mine), mine);
  });

  it('is less for an operator who limits the memory of workers', async (t) => {
    const wanted = flagsFor(process.versions.v8, [], true);
    assert.deepEqual(await toldBy(t, wanted, '--max-memory', '4000'), wanted);
  });
});
