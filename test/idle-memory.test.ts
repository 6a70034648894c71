/**
 * A worker that has loaded its app, and has nothing to do, gives back what loading has left; one that serves keeps what
 * has been compiled for it.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { machine } from '../src/machine.ts';
import { tendHeap } from '../src/worker/idle-memory.ts';
import { flagsFor } from '../src/worker/v8-tuning.ts';
import { settled, statusOf } from './support/control.ts';
import { fetchFrom } from './support/http.ts';
import { app, startServer, temporaryDirectory, until } from './support/server.ts';

const MIB = 2 ** 20;
const IDLE = { connections: 0, utilization: 0.002, heap: 12 * MIB };
const BUSY = { connections: 1, utilization: 0.3 };

/** What happens at these beats: `-` for nothing. */
function after(beats: Partial<typeof IDLE>[]): string {
  let now = '';
  const say = (what: string) => () => {
    now += `${what} `;
  };
  const tend = tendHeap({
    onCollected: say('collected'),
    onServing: say('serving'),
    collect: say('collect'),
  });
  return beats
    .map((beat) => {
      now = '';
      tend({ ...IDLE, ...beat });
      return now.trim() || '-';
    })
    .join(' ');
}

describe('the heap of a worker', () => {
  it('is collected once, at the second beat', () => {
    assert.equal(after([{}, {}, {}, {}]), '- collect collected - -');
  });

  it('is collected only when it is at rest, and nobody is connected', () => {
    assert.equal(after([{}, { connections: 1 }, { utilization: 0.2 }, {}]), '- - - collect collected');
  });

  it('is let be once the worker has served, which is told once', () => {
    assert.equal(after([{}, BUSY, BUSY, BUSY, {}]), '- - serving - -');
    assert.equal(after([{}, {}, BUSY, BUSY]), '- collect collected - serving');
  });

  it('is none of a worker that has served for having been loaded', () => {
    assert.equal(after([{ utilization: 1 }, {}]), '- collect collected');
  });

  it('is let be where it is large', () => {
    assert.equal(after([{}, { heap: 24 * MIB + 1 }, {}, BUSY, BUSY]), '- - - - serving');
    assert.equal(after([{}, { heap: 24 * MIB }]), '- collect collected');
  });
});

const flags = flagsFor(process.versions.v8, process.execArgv, machine().memory !== undefined);
const skip = flags.onceServing.length === 0 && 'here it is left to V8';

describe('a worker that has loaded its app', { skip }, () => {
  /** Starts one whose app leaves something behind, and says which flags are set. */
  async function start(t: TestContext, args: string[] = [], env = {}) {
    const options = ['-w', '1', '--app-type', 'listener', ...args];
    const server = await startServer(t, app('littering.mjs'), options, { env });
    await settled(server, 1);
    const worker = async () => (await statusOf(server)).workers[0];
    // With what is left behind it has 15 MiB, without that 6.
    const isSmall = async () => ((await worker())?.heap ?? Number.POSITIVE_INFINITY) < 11 * MIB;
    // What it is told once it has served may come before, from a machine that has other things to do.
    const told = async () =>
      (await fetchFrom({ socketPath: server.socket }, '/'))
        .json<string[]>()
        .filter((flag) => !flags.onceServing.includes(flag));
    return { server, worker, isSmall, told };
  }

  it('gives back what that has left behind, and leaves no trace', async (t) => {
    const { isSmall, told } = await start(t);
    await until(isSmall, 'less');
    const trace = ['--expose-gc', '--no-expose-gc'];
    assert.deepEqual(await told(), [...flags.atReady, ...trace, ...flags.onceCollected]);
  });

  it('does so with the gc that its Node was told to show, which it leaves there', async (t) => {
    const { isSmall, told } = await start(t, ['--node-options', '--expose-gc']);
    await until(isSmall, 'less');
    assert.deepEqual(await told(), [...flags.atReady, ...flags.onceCollected]);
  });

  it('serves on where the app lets nobody change flags', async (t) => {
    const refused = join(temporaryDirectory(t), 'refused');
    const { server, worker, told } = await start(t, [], { REFUSED: refused });
    const before = server.workers();
    await until(() => existsSync(refused), 'a collection to be tried');
    assert.ok(Array.isArray(await told()));
    await until(async () => (await worker())?.requests === 1, 'a beat after that');
    assert.deepEqual(server.workers(), before);
  });
});
