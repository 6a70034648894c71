/**
 * What workers tell V8. That it helps is measured by the benchmark, for connections by `short-connections.test.ts`, and
 * for buffers by `buffers.test.ts`.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it, type TestContext } from 'node:test';
import { machine } from '../src/machine.ts';
import { type Flags, flagsFor, nameOf, TUNINGS } from '../src/worker/v8-tuning.ts';
import { fetchFrom } from './support/http.ts';
import { app, startServer, until } from './support/server.ts';

const NODE_26 = '14.6.202.34-node.40';
const BUFFERS = '--external-memory-accounted-in-global-limit';
const AT_REST = '--memory-reducer-gc-count=0';
const ROOM = '--semi-space-growth-factor=8';

/** What this Node's workers tell, where there is as much memory as they want. */
const mine = flagsFor(process.versions.v8, [], false);
const inAll = (flags: Flags): string[] => Object.values(flags).flat();

/** A worker that says which flags it has set so far, when it is asked, and works for a while before it does. */
async function start(t: TestContext, ...args: string[]) {
  const { socket } = await startServer(t, app('flags.mjs'), ['-w', '1', '--app-type', 'listener', ...args]);
  return async (working = '0') =>
    (await fetchFrom({ socketPath: socket }, `/?working=${working}`)).json<string[]>();
}

describe('what workers tell V8', () => {
  it('is what V8 knows, and does not do by itself', () => {
    const known = execFileSync(process.execPath, ['--v8-options'], { encoding: 'utf8' });
    for (const flag of inAll(mine)) {
      const [, standard] =
        new RegExp(`^ +--${nameOf(flag)} \\(.*\\n.* default: (\\S+)$`, 'm').exec(known) ?? [];
      assert.ok(standard, `${flag} is none of ${process.version}`);
      assert.notEqual(standard, flag);
    }
  });

  it('is everything on the V8 of Node 26', () => {
    const all = TUNINGS.map(({ flag }) => flag);
    assert.deepEqual(inAll(flagsFor(NODE_26, [], false)).sort(), all.sort());
  });

  it('is, on a newer one, what that does not do by itself', () => {
    const { atReady, ...later } = flagsFor(NODE_26, [], false);
    const rest = { atReady: atReady.filter((flag) => flag !== BUFFERS), ...later };
    for (const version of ['14.8.1', '99.1.2']) assert.deepEqual(flagsFor(version, [], false), rest);
  });

  it('is nothing on a V8 where it is not worth it', () => {
    assert.deepEqual(inAll(flagsFor('12.4.254.21-node.33', [], false)), []);
  });

  it('leaves out what takes memory where that is limited', () => {
    const atReady = flagsFor(NODE_26, [], false).atReady.filter((flag) => flag !== BUFFERS);
    assert.deepEqual(flagsFor(NODE_26, [], true), { atReady, onceCollected: [], onceServing: [] });
  });

  it('leaves out what the operator has decided, in whatever spelling', () => {
    const own = ['--allocation_site_pretenuring', '--max-inlined-bytecode-size-cumulative=920', '--import=x'];
    const later = { onceCollected: [ROOM], onceServing: [AT_REST] };
    const atReady = ['--max-inlined-bytecode-size=1200', BUFFERS];
    assert.deepEqual(flagsFor(NODE_26, own, false), { atReady, ...later });
    assert.deepEqual(flagsFor(NODE_26, ['--memory_reducer_gc_count=2'], false).onceServing, []);
    for (const no of ['--no-', '--no_', '--no', '-no-']) {
      assert.ok(!inAll(flagsFor(NODE_26, [BUFFERS.replace('--', no)], false)).includes(BUFFERS));
    }
  });

  const skip = machine().memory !== undefined && 'memory is limited here';
  it('is told by a worker that is ready, when its app is loaded, and the rest when it has served', {
    skip,
  }, async (t) => {
    const told = await start(t);
    // A request may come before.
    await until(async () => (await told()).length >= mine.atReady.length, 'the flags');
    assert.deepEqual((await told()).slice(0, mine.atReady.length), mine.atReady);
    const isComplete = async () => {
      const all = await told('100');
      return mine.onceServing.every((flag) => all.includes(flag));
    };
    await until(isComplete, 'the rest');
    // Whether the heap was collected before is up to how busy the worker was.
    const isForCollecting = (flag: string) =>
      nameOf(flag) === 'expose-gc' || mine.onceCollected.includes(flag);
    assert.deepEqual(
      (await told()).filter((flag) => !isForCollecting(flag)),
      [...mine.atReady, ...mine.onceServing],
    );
  });

  it('is less for an operator who limits the memory of workers', async (t) => {
    const { atReady } = flagsFor(process.versions.v8, [], true);
    const told = await start(t, '--max-memory', '4000');
    await until(async () => (await told()).length >= atReady.length, 'the flags');
    // For longer than after which a worker without the limit is told the rest.
    for (let second = 0; second < 3; second++) await told('1000');
    assert.deepEqual(await told(), atReady);
  });
});
