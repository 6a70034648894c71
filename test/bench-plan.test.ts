/**
 * The plan of the benchmark, which is data, and what its command line makes of it.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { HELP, type Options, parse, UsageError } from '../bench/options.ts';
import { experiments } from '../bench/plan.ts';
import { chosen, estimate } from '../bench/run.ts';
import { servers } from '../bench/servers/index.ts';
import { settingOf } from '../bench/setting.ts';
import { workloadOf, workloads } from '../bench/workloads/index.ts';

const root = join(import.meta.dirname, '../bench');
const known = {
  experiments: experiments.map(({ id }) => id),
  servers: servers.map(({ id }) => id),
};
const options = (...args: string[]): Options => parse(args, known);
const isUnique = (ids: readonly string[]) => new Set(ids).size === ids.length;

describe('the plan', () => {
  it('names experiments, servers, workloads and rows once', () => {
    for (const ids of [known.experiments, known.servers, workloads.map(({ id }) => id)])
      assert.ok(isUnique(ids));
    for (const { id, entries } of experiments) assert.ok(isUnique(entries.map((one) => one.id)), id);
  });

  it('has rows of servers and workloads that there are, and a baseline among them', () => {
    for (const { id, entries, baseline, quick } of experiments) {
      const rows = entries.map((one) => one.id);
      for (const row of [baseline, ...(quick?.rows ?? [])]) assert.ok(rows.includes(row), `${id}: ${row}`);
      for (const { server, workload } of entries) {
        assert.ok(known.servers.includes(server), `${id}: ${server}`);
        workloadOf(workload);
      }
    }
  });

  it('measures every server and every workload', () => {
    const rows = experiments.flatMap(({ entries }) => entries);
    for (const { id } of servers)
      assert.ok(
        rows.some(({ server }) => server === id),
        id,
      );
    for (const { id } of workloads)
      assert.ok(
        rows.some(({ workload }) => workload === id),
        id,
      );
  });

  it('takes about two minutes, or less than half an hour', () => {
    assert.ok(estimate(chosen(experiments, options())) < 180);
    assert.ok(estimate(chosen(experiments, options('--full'))) < 1800);
  });

  it('says in words what all rows have in common', () => {
    const mixed = experiments.find(({ id }) => id === 'mixed')!;
    assert.equal(
      settingOf({ ...mixed, rounds: 1 }, { server: [0, 1], load: [2] }),
      '5 % of requests burn 20 ms of CPU; straight to the Unix socket; 32 connections; 800 requests/s; ' +
        '2 workers; the server on CPUs 0, 1, the load on CPU 2; 1 round of 4 s',
    );
    const workers = experiments.find(({ id }) => id === 'workers')!;
    assert.doesNotMatch(settingOf(workers, { server: [0], load: [1] }), /workers/);
  });
});

describe('the command line', () => {
  const idsOf = (all: ReturnType<typeof chosen>) => all.map(({ id }) => id);

  it('asks for a quick run without options', () => {
    const quick = chosen(experiments, options());
    assert.ok(quick.length > 3 && quick.length < experiments.length);
    for (const { entries, quick: wanted } of quick) {
      assert.deepEqual(entries.map(({ id }) => id).sort(), [...wanted!.rows].sort());
    }
  });

  it('asks for everything, or for some experiments with all their rows', () => {
    assert.deepEqual(idsOf(chosen(experiments, options('--full'))), known.experiments);
    const [hello] = chosen(experiments, options('--only', 'hello'));
    assert.equal(hello!.entries.length, experiments.find(({ id }) => id === 'hello')!.entries.length);
  });

  it('asks for some servers, beside which the baseline stays', () => {
    const [hello] = chosen(experiments, options('--only', 'hello', '--servers', 'pm2'));
    assert.deepEqual(
      hello!.entries.map(({ id }) => id),
      ['bare-fastify', 'pm2'],
    );
    assert.deepEqual(idsOf(chosen(experiments, options('--full', '--servers', 'nginx-return'))), ['limits']);
  });

  it('says how many rounds, and how long they are, of those that have a length', () => {
    const some = chosen(experiments, options('--only=hello,startup', '--rounds=2', '--seconds=0.5'));
    assert.deepEqual(
      some.map(({ rounds, seconds }) => [rounds, seconds]),
      [
        [2, 0.5],
        [2, 0],
      ],
    );
  });

  for (const [args, message] of [
    [['--fast'], "Unknown option '--fast'"],
    [['hello'], "Unexpected argument 'hello'"],
    [['--only', 'helo'], /^There is no experiment "helo"\. There are: hello, /],
    [['--servers', 'apache'], /^There is no server "apache"\. There are: fasticorn, /],
    [['--only', ','], '--only "," names no experiment. There are: hello, '],
    [['--servers', ''], '--servers "" names no server. There are: fasticorn, '],
    [['--rounds', '1.5'], '--rounds is a whole number from 1 to 999, not "1.5"'],
    [['--rounds', '1000'], '--rounds is a whole number from 1 to 999, not "1000"'],
    [['--seconds', '-'], '--seconds is a number from 0.1 to 999, not "-"'],
    [['--seconds', '0.0001'], '--seconds is a number from 0.1 to 999, not "0.0001"'],
  ] as const) {
    it(`refuses ${args.join(' ')}`, () => {
      assert.throws(
        () => options(...args),
        (error: Error) => {
          assert.ok(error instanceof UsageError);
          assert.match(error.message, /^.+$/);
          if (typeof message === 'string') assert.ok(error.message.startsWith(message), error.message);
          else assert.match(error.message, message);
          return true;
        },
      );
    });
  }

  it('is told in full by --help', () => {
    const named = [...HELP.matchAll(/^ {2}--(\w+)/gm)].map(([, name]) => name);
    assert.deepEqual(named, ['full', 'only', 'servers', 'rounds', 'seconds', 'output', 'list', 'help']);
  });
});

describe('each file of the benchmark', () => {
  const folders = ['.', 'apps', 'load', 'measure', 'report', 'servers', 'workloads'];
  const files = folders.flatMap((folder) =>
    readdirSync(join(root, folder)).map((name) => join(folder, name)),
  );
  for (const file of files.filter((one) => /\.m?[tj]s$/.test(one))) {
    it(`${file} says at its top what it is for`, () => {
      assert.match(readFileSync(join(root, file), 'utf8'), /^\/\*\*(\n \*)? \S/);
    });
  }
});
