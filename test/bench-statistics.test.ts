/**
 * The arithmetic of the benchmark: what a few rounds come to, and what the load generator has said.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseList } from '../bench/cpus.ts';
import { argumentsFor, outcome, secondsTaken } from '../bench/load/h2load.ts';
import { countUsage, imbalance } from '../bench/measure/usage.ts';
import { rotated } from '../bench/site.ts';
import {
  agree,
  isSingle,
  median,
  percentile,
  perStart,
  portions,
  ratios,
  summary,
} from '../bench/statistics.ts';
import { hello } from '../bench/workloads/hello.ts';
import { upload1m } from '../bench/workloads/upload-1m.ts';

describe('the median', () => {
  it('is the one in the middle, in whatever order they come', () => assert.equal(median([9, 1, 5]), 5));
  it('of an even number of them is between the two', () => assert.equal(median([4, 1, 2, 9]), 3));
  it('of none is no number', () => assert.equal(median([]), Number.NaN));
});

describe('a percentile', () => {
  const thousand = Array.from({ length: 1000 }, (_, index) => index + 1);

  it('is one of the samples', () => {
    assert.equal(percentile(thousand, 0.5), 500);
    assert.equal(percentile(thousand, 0.99), 990);
    assert.equal(percentile(thousand, 0.999), 999);
  });

  it('is none where it would be the last sample for want of more', () => {
    assert.equal(percentile(thousand.slice(0, 999), 0.999), null);
    assert.equal(percentile([1], 0.5), null);
    assert.equal(percentile([], 0.5), null);
  });
});

describe('ratios', () => {
  it('are of the same round, so that a slow moment of the machine is none of a server', () => {
    assert.deepEqual(ratios([50, 5, 50], [100, 10, 100]), [0.5, 0.5, 0.5]);
  });

  it('are missing where a row or the baseline has no figure, or the baseline has 0', () => {
    assert.deepEqual(ratios([1, null, 1, 1], [2, 2, null, 0]), [0.5, null, null, null]);
    assert.deepEqual(ratios([1, 1], [2]), [0.5, null]);
  });
});

describe('rounds', () => {
  it('come to a median, quartiles, and their range as a part of it', () => {
    const { unsure, ...rest } = summary([10, null, 12, 8, 11, 9])!;
    assert.deepEqual(rest, { median: 10, low: 9, high: 11, spread: 0.2 });
    assert.equal(unsure.toFixed(3), '0.140');
  });

  it('come to nothing without a figure', () => {
    assert.equal(summary([null, null]), undefined);
    assert.equal(agree([]), false);
  });

  it('agree if their median is known to 15 %, for which it takes the more of them the further they are apart', () => {
    assert.equal(agree([8, 8, 10, 12, 12]), false);
    assert.equal(agree([8, 9, 10, 11, 12]), true);
    assert.equal(agree([7, 8, 8, 8, 9, 10, 11, 12, 12, 12, 13]), false);
    assert.equal(agree([7, 8, 9, 9, 10, 10, 10, 11, 11, 12, 13]), true);
  });

  it('agree, if there are few, where no two are further apart than 15 %', () => {
    assert.equal(agree([0.87, 1.13]), false);
    assert.equal(agree([1, 1.15]), true);
    assert.equal(agree([10, 10, 10, 11.6]), false);
    assert.equal(agree([10, 10, null, 10, 11.4]), true);
  });

  it('agree if one of many is out of line', () => assert.equal(agree([1, 1, 1, 1, 1, 1, 30]), true));

  it('do not agree if there is one, of which nobody knows how near others would be', () => {
    assert.equal(agree([10, null, null]), false);
    assert.deepEqual([isSingle([10, null]), isSingle([10, 10]), isSingle([null])], [true, false, false]);
  });

  it('agree if all are 0', () => assert.equal(agree([0, 0, 0]), true));

  it('have everybody first in turn', () => {
    assert.deepEqual(
      [0, 1, 2, 3].map((round) => rotated(['a', 'b', 'c'], round).join('')),
      ['abc', 'bca', 'cab', 'abc'],
    );
    assert.deepEqual(rotated([], 3), []);
  });

  it('are spread evenly over the starts of a server, of which there are no more than rounds', () => {
    assert.deepEqual(portions(4, 2), [
      [0, 1],
      [2, 3],
    ]);
    assert.deepEqual(portions(5, 3), [[0, 1], [2], [3, 4]]);
    assert.deepEqual(portions(2, 3).flat(), [0, 1]);
  });

  it('of the same start come to one figure, their median, or none', () => {
    assert.deepEqual(perStart([1, 3, null, 5, null, null], 3), [2, 5, null]);
    assert.deepEqual(perStart([1, 3, null, 5], 1), [1, 3, null, 5]);
    assert.deepEqual(perStart([1, 3], 4), [1, 3]);
  });
});

describe('h2load', () => {
  const said = (requests: string) => `starting benchmark...

finished in 500.00ms, 6.00 req/s, 1.20KB/s
requests: ${requests}
status codes: 2 2xx, 0 3xx, 0 4xx, 1 5xx
`;
  const samples = (...rows: [status: number, microseconds: number][]) =>
    Buffer.from(rows.map((row, index) => `179588397126919${index}\t${row.join('\t')}\n`).join(''));

  it('tells answers from errors, and counts nothing that is under way at the end', () => {
    const found = outcome(
      said('3 total, 11 started, 3 done, 2 succeeded, 1 failed, 0 errored, 0 timeout'),
      samples([200, 3000], [503, 1000], [200, 2000]),
      0.5,
    );
    assert.deepEqual(found, { answers: 2, errors: 1, rate: 4, p50: 2, p99: null, p999: null });
  });

  it('may have had no answer at all', () => {
    const nothing = outcome(
      said('0 total, 8 started, 0 done, 0 succeeded, 0 failed, 0 errored, 0 timeout'),
      Buffer.alloc(0),
      1,
    );
    assert.deepEqual(nothing, { answers: 0, errors: 0, rate: 0, p50: null, p99: null, p999: null });
  });

  it('may have said something else, which is then the error', () => {
    assert.throws(() => outcome('a line\nclient could not connect to host\n', Buffer.alloc(0), 1), {
      message: 'h2load: client could not connect to host',
    });
  });

  it('says how long it took, in a unit of its choice', () => {
    const taken = (text: string) => secondsTaken(`starting\nfinished in ${text}, 6.00 req/s, 1.20KB/s\n`);
    assert.deepEqual([taken('2.50s'), taken('500.00ms'), taken('20us')], [2.5, 0.5, 0.000_02]);
    assert.throws(() => secondsTaken('a line\nanother\n'), { message: 'h2load: another' });
  });

  const files = { samples: '/s', body: '/b' };

  it('is told a socket, or a port', () => {
    const how = { workload: hello, connections: 8, seconds: 1.5, cpus: [1] };
    assert.deepEqual(argumentsFor({ ...how, endpoint: { kind: 'unix', path: '/a.sock' } }, files), [
      ...['--h1', '--threads=1', '--clients=8', '--log-file=/s', '--base-uri=unix:/a.sock'],
      ...['--duration=1500ms', 'http://localhost/'],
    ]);
    assert.equal(
      argumentsFor({ ...how, endpoint: { kind: 'tcp', port: 80 } }, files).at(-1),
      'http://127.0.0.1:80/',
    );
  });

  it('is told a rate for each of its clients, which begin one after the other', () => {
    const all = argumentsFor(
      {
        workload: hello,
        connections: 32,
        seconds: 1.5,
        rate: 800,
        endpoint: { kind: 'tcp', port: 80 },
        cpus: [1],
      },
      files,
    );
    assert.deepEqual(all.slice(4, -1), ['--requests=1200', '--rps=25', '--rate=4', '--rate-period=5ms']);
  });

  it('has a thread for each of its CPUs, but none without a connection', () => {
    const threads = (connections: number) =>
      argumentsFor(
        { workload: hello, connections, seconds: 1, endpoint: { kind: 'tcp', port: 80 }, cpus: [2, 3] },
        files,
      ).find((arg) => arg.startsWith('--threads'));
    assert.deepEqual([threads(64), threads(1)], ['--threads=2', '--threads=1']);
  });

  it('is told what to upload', () => {
    const all = argumentsFor(
      { workload: upload1m, connections: 1, seconds: 1, endpoint: { kind: 'tcp', port: 80 }, cpus: [1] },
      files,
    );
    assert.ok(all.includes('--data=/b'));
    assert.equal(all.at(-1), 'http://127.0.0.1:80/upload');
  });
});

describe('what a server uses', () => {
  const role = 'worker' as const;
  /** Of processes by their ids, with what each has used before, and after. */
  const used = (before: Record<number, number>, after: Record<number, number>) => {
    let now = before;
    const processes = () => [{ pid: 1, role: 'arbiter' as const }, ...others()];
    const others = () => [2, 3].filter((pid) => pid in now).map((pid) => ({ pid, role }));
    const usage = countUsage(processes, (pid) => now[pid]);
    now = after;
    return usage();
  };

  it('is what all its processes have used since, those that are new included', () => {
    assert.deepEqual(used({ 1: 10, 2: 20 }, { 1: 11, 2: 25, 3: 7 }), {
      total: 13,
      arbiter: 1,
      workers: [5, 7],
    });
  });

  it('is not known once one of them has ended, as what it had used went with it', () => {
    assert.equal(used({ 1: 10, 2: 20 }, { 1: 11 }), undefined);
    assert.equal(used({ 1: 10, 2: 20 }, { 2: 25 }), undefined);
  });
});

describe('the busiest worker', () => {
  const among = (...workers: number[]) => imbalance({ total: 0, arbiter: undefined, workers });

  it('has its share of the work where all are alike', () => assert.equal(among(10, 10, 10), 1));
  it('may have all of it', () => assert.equal(among(0, 20), 2));
  it('is nobody where there is one, or none has worked', () => {
    assert.equal(among(10), undefined);
    assert.equal(among(0, 0), undefined);
  });
});

describe('a list of CPUs', () => {
  it('is read as the kernel writes it', () => {
    assert.deepEqual(parseList('0-2,5'), [0, 1, 2, 5]);
    assert.deepEqual(parseList('3'), [3]);
  });
});
