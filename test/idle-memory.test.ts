/**
 * A worker that has loaded its app, and has nothing to do, gives back what loading has left; one that serves keeps what
 * has been compiled for it.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { machine } from '../src/machine.ts';
import { tendHeap } from '../src/worker/idle-memory.ts';
import { flagsFor } from '../src/worker/v8-tuning.ts';
import { controlOf, statusOf } from './support/control.ts';
import { app, startServer, until } from './support/server.ts';

const MIB = 2 ** 20;
const IDLE = { requests: 0, inFlight: 0, heap: 12 * MIB };

/** What happens at these beats: `-` for nothing. */
function after(beats: Partial<typeof IDLE>[]): string {
  let now = '';
  const tend = tendHeap({
    onServing: () => {
      now += 'serving ';
    },
    collect: () => {
      now += 'collect ';
    },
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
    assert.equal(after([{}, {}, {}, {}]), '- collect - -');
  });

  it('is collected only when no request has to wait for that', () => {
    assert.equal(after([{}, { requests: 1, inFlight: 1 }, { requests: 1 }, {}]), '- - collect -');
  });

  it('is let be once the worker has served, which is told once', () => {
    assert.equal(
      after([{}, { requests: 99, inFlight: 1 }, { requests: 100 }, { requests: 100 }]),
      '- - serving -',
    );
    assert.equal(after([{ requests: 100 }, { requests: 100 }]), 'serving -');
    assert.equal(after([{}, {}, { requests: 100 }, { requests: 200 }]), '- collect serving -');
  });

  it('is let be where it is large', () => {
    assert.equal(after([{}, { heap: 25 * MIB }, {}, { requests: 100 }]), '- - - serving');
  });

  const { onceServing } = flagsFor(process.versions.v8, process.execArgv, machine().memory !== undefined);
  const skip = onceServing.length === 0 && 'here it is left to V8';
  it('shrinks by what loading the app has left', { skip }, async (t) => {
    const server = await startServer(t, app('littering.mjs'), ['-w', '1', '--app-type', 'listener']);
    // With the litter it has 15 MiB, without it 6.
    const isSmall = async () =>
      (await statusOf(server)).workers.some(({ heap = Infinity }) => heap < 11 * MIB);
    await until(() => existsSync(controlOf(server)), 'the control socket');
    await until(isSmall, 'less');
  });
});
