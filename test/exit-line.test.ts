/**
 * What the log says of a worker that has ended.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { exitLine } from '../src/arbiter/exit-line.ts';
import type { Limits, WorkerState } from '../src/arbiter/state.ts';
import type { WorkerExit } from '../src/arbiter/worker-handle.ts';

const limits: Limits = {
  ...{ bootTimeout: 30_000, gracefulTimeout: 20_000, timeout: 30_000, maxRequests: Infinity },
  ...{ maxRequestsJitter: 0, maxMemory: Infinity, maxLifetime: Infinity, probation: 500 },
};
const serving = { everReady: true, ending: undefined };
const starting = { everReady: false, ending: undefined };
const stopping = { everReady: true, ending: { how: 'graceful', since: 0, exitCode: 0 } as const };

const worker = (facts: Partial<WorkerState> = {}): WorkerState => ({
  ...{ id: 1, generation: 1, slot: 1, phase: 'ready', since: 0, born: 0, limits, silence: 0 },
  ...{ farewell: undefined, wish: undefined, killed: undefined },
  ...facts,
});
const say = (before: typeof serving | typeof stopping, of: WorkerState, how: WorkerExit): string => {
  const line = exitLine(before, of, how);
  return line ? `${line.level}: ${line.text}` : 'nothing';
};

const KILL = { signal: 'SIGKILL' } as const;

describe('A worker that dies', () => {
  it('is an error with its exit code', () => {
    assert.equal(say(serving, worker(), { code: 7 }), 'error: died: it exited with code 7');
  });
  it('by SIGKILL may have run out of memory', () => {
    assert.equal(
      say(serving, worker(), KILL),
      'error: died: it was ended by SIGKILL, perhaps because memory ran out',
    );
  });
  it('while it boots says so', () => {
    assert.equal(
      say(serving, worker({ phase: 'booting' }), { code: 0 }),
      'error: died: it exited with code 0 before it was ready',
    );
  });
  it('without ever having been a process says why', () => {
    assert.equal(
      say(serving, worker({ phase: 'booting' }), { error: new Error('spawn ENOENT') }),
      'error: died: it could not be started: spawn ENOENT before it was ready',
    );
  });
  it('before any was ready is fatal', () => {
    assert.match(say(starting, worker({ phase: 'booting' }), { code: 1 }), /^fatal: /);
  });
});

describe('A worker that we killed', () => {
  it('says which limit it passed, and never that memory ran out', () => {
    assert.match(
      say(serving, worker({ phase: 'booting', killed: 'boot timeout' }), KILL),
      /30 s \(--boot-timeout\)/,
    );
    assert.equal(
      say(stopping, worker({ phase: 'retiring', killed: 'graceful timeout' }), KILL),
      'warn: was killed, as it had not ended after 20 s (--graceful-timeout)',
    );
  });
  it('because it was stuck, or too slow for a quick stop, says so', () => {
    assert.equal(
      say(serving, worker({ killed: 'stuck' }), KILL),
      'error: was killed, as its event loop had not turned for 30 s (--timeout)',
    );
    assert.equal(
      say(stopping, worker({ phase: 'retiring', killed: 'quick stop' }), KILL),
      'warn: was killed, as it had not ended in time',
    );
  });
  it('is not mentioned if it had ended by itself by then', () => {
    assert.equal(
      say(stopping, worker({ phase: 'retiring', killed: 'graceful timeout' }), { code: 0 }),
      'nothing',
    );
  });
  it('tells the limit that it was started with', () => {
    const own = { ...limits, gracefulTimeout: 1_500 };
    const line = say(serving, worker({ phase: 'retiring', killed: 'graceful timeout', limits: own }), KILL);
    assert.match(line, /after 1\.5 s/);
  });
  it('is fatal when it was not ready in time and none ever was, and else an error', () => {
    const late = worker({ phase: 'booting', killed: 'boot timeout' });
    assert.match(say(starting, late, KILL), /^fatal: /);
    assert.match(say(serving, late, KILL), /^error: /);
  });
  it('is not mentioned when everything ends anyway', () => {
    assert.equal(say(stopping, worker({ killed: 'the server is ending' }), KILL), 'nothing');
    assert.equal(say(stopping, worker({ killed: 'boot timeout' }), KILL), 'nothing');
  });
});

describe('A worker that stops as it was told', () => {
  it('is not mentioned', () => {
    assert.equal(say(stopping, worker({ phase: 'retiring' }), { code: 0 }), 'nothing');
    assert.equal(say(serving, worker({ phase: 'retiring' }), { code: 0 }), 'nothing');
  });
  it('is, if a signal ended it before it was done', () => {
    assert.match(
      say(stopping, worker({ phase: 'retiring' }), { signal: 'SIGSEGV' }),
      /^warn: .*SIGSEGV while/,
    );
  });
});
