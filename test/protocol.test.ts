/**
 * What the arbiter takes for a report of a worker: nothing that could harm it.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isReport, type Report } from '../src/protocol.ts';

const beat = { requests: 1, inFlight: 0, connections: 2, rss: 3, heap: 4, utilization: 0.5, delay: 6 };

describe('a report', () => {
  const right: Report[] = [
    { type: 'ready', shape: 'a script that listens' },
    { type: 'beat', beat },
    { type: 'failed', exitCode: 4, message: 'no' },
    { type: 'broken', why: 'met an error', stack: undefined },
    { type: 'silent' },
    { type: 'asked-to-leave' },
  ];
  for (const report of right) it(`is one: ${report.type}`, () => assert.ok(isReport(report)));

  const wrong: unknown[] = [
    ...[null, undefined, 0, 'ready', [], {}, { type: 'start' }, { type: 'ready' }],
    ...[{ type: 'beat' }, { type: 'beat', beat: {} }, { type: 'beat', beat: { ...beat, rss: 'many' } }],
    ...[
      { type: 'failed', exitCode: 'x', message: 'no' },
      { type: 'failed', exitCode: 1 },
      { type: 'broken' },
    ],
  ];
  for (const value of wrong)
    it(`is not ${JSON.stringify(value)}`, () => assert.equal(isReport(value), false));
});
