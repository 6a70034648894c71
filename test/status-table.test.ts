/**
 * What `fasticorn status` shows to people.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Status, WorkerStatus } from '../src/status.ts';
import { statusTable } from '../src/status-table.ts';

const MB = 2 ** 20;

const worker = (facts: Partial<WorkerStatus>): WorkerStatus => ({
  ...{ worker: 1, generation: 1, pid: 101, phase: 'ready', age: 59 },
  ...facts,
});

const beat = { requests: 12345, inFlight: 3, connections: 32, rss: 80.4 * MB, heap: 20 * MB };

const exit = (number: number, reason = 'died: it exited with code 7') => ({
  time: `2025-05-06T07:08:0${number}.000Z`,
  ...{ worker: number, generation: 1, pid: 100 + number, reason },
});

const status = (facts: Partial<Status> = {}, arbiter: Partial<Status['arbiter']> = {}): Status => ({
  arbiter: {
    ...{ pid: 100, pidNamespace: null, version: '1.2.3', node: 'v24.0.0', app: 'app.mjs' },
    ...{ phase: 'serving', uptime: 11_525, rss: 50 * MB },
    ...arbiter,
  },
  wanted: 2,
  generation: { current: 1, next: null },
  workers: [worker({})],
  exits: [],
  sockets: [],
  settings: {},
  ...facts,
});

const lines = (facts: Partial<Status> = {}, arbiter: Partial<Status['arbiter']> = {}) =>
  statusTable(status(facts, arbiter)).split('\n');

describe('the status for people', () => {
  it('is a page', () => {
    const text = statusTable(
      status(
        {
          generation: { current: 3, next: 4 },
          sockets: [
            { address: 'unix:/tmp/app.sock', queue: 5, limit: 2048 },
            { address: '127.0.0.1:8000', queue: null, limit: null },
          ],
          workers: [
            worker({ ...beat, worker: 7, generation: 3, utilization: 0.0851, delay: 1.4 }),
            worker({ ...beat, worker: 8, phase: 'retiring', age: 93_784, utilization: 1, delay: 0 }),
            worker({ worker: 12, generation: 4, pid: null, phase: 'booting', age: 0.4 }),
          ],
          exits: [exit(2), { ...exit(1), worker: 10, pid: null, reason: 'memory limit' }],
        },
        { phase: 'reloading' },
      ),
    );
    assert.equal(
      text,
      `\
fasticorn 1.2.3  app.mjs  pid 100  reloading  up 3h 12m  generation 3, 4 on trial

unix:/tmp/app.sock  queue 5 of 2048
127.0.0.1:8000      queue - of -

worker  gen  pid  phase       age  requests  in flight  conns  rss MB  heap MB  busy %  delay ms
     7    3  101  ready       59s     12345          3     32      80       20       9         1
     8    1  101  retiring  1d 2h     12345          3     32      80       20     100         0
    12    4    -  booting      0s         -          -      -       -        -       -         -

last exits:
2025-05-06T07:08:02.000Z  worker 2   gen 1  pid 102  died: it exited with code 7
2025-05-06T07:08:01.000Z  worker 10  gen 1  pid -    memory limit
`,
    );
    assert.doesNotMatch(text, / $/m);
  });

  it('says when there is no worker', () => {
    assert.deepEqual(lines({ workers: [] }, { phase: 'paused' }), [
      'fasticorn 1.2.3  app.mjs  pid 100  paused  up 3h 12m  generation 1',
      '',
      'no workers, 2 wanted',
      '',
    ]);
  });

  it('shows which workers do not say any more how they are', () => {
    const text = lines({ workers: [worker({ silent: 1.2 }), worker({ worker: 2, silent: 6 })] }).join('\n');
    assert.match(text, /^ +1 .* ready +59s/m);
    assert.match(text, /^ +2 .* ready, silent 6s +59s/m);
  });

  it('shows the last five exits', () => {
    const shown = lines({ exits: [9, 8, 7, 6, 5, 4, 3].map((number) => exit(number)) });
    assert.equal(shown.filter((line) => line.includes('exited with code')).length, 5);
    assert.match(shown.join('\n'), /worker 5/);
    assert.doesNotMatch(shown.join('\n'), /worker 4/);
  });

  const times: [seconds: number, text: string][] = [
    [0, '0s'],
    [59.9, '59s'],
    [60, '1m'],
    [61, '1m 1s'],
    [3600, '1h'],
    [3605, '1h'],
    [86_399, '23h 59m'],
    [8_640_000, '100d'],
  ];
  for (const [seconds, text] of times) {
    it(`has ${text} for ${seconds} seconds`, () => {
      assert.match(lines({}, { uptime: seconds })[0]!, new RegExp(` up ${text}  gen`));
    });
  }

  it('has zeros where there are zeros', () => {
    const none = { requests: 0, inFlight: 0, connections: 0, rss: 0, heap: 0, utilization: 0, delay: 0 };
    assert.match(lines({ workers: [worker(none)] })[3]!, /59s( +0){7}$/);
  });

  it('cuts lines that are too long for the terminal, and no others', () => {
    const page = status({ exits: [exit(1, 'x'.repeat(200))] });
    const cut = statusTable(page, 80).split('\n');
    assert.equal(Math.max(...cut.map((line) => line.length)), 80);
    assert.match(cut.at(-2)!, /x…$/);
    assert.equal(cut[0], statusTable(page).split('\n')[0]);
    assert.match(statusTable(page), /x{200}\n/);
  });

  it('has one line for what has several, and nothing that a terminal would obey', () => {
    const shown = lines({ exits: [exit(1, 'Error: oops\n    at app.js\x1b[2J\u009b2J')] }).join('\n');
    assert.match(shown, /Error: oops {5}at app\.js \[2J 2J\n/);
    assert.doesNotMatch(shown, /\x1b|\u009b/);
  });
});
