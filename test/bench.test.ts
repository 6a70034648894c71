/**
 * The benchmark, run for seconds: that it measures what it says, names what it cannot measure, counts what goes wrong,
 * and leaves nothing behind. How fast anything is, is not tested.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { sharesOf } from '../bench/cpus.ts';
import type { Experiment } from '../bench/experiment.ts';
import { launch, untilAnswers } from '../bench/launch.ts';
import { h2load } from '../bench/load/h2load.ts';
import type { Results, Row, Running, Server } from '../bench/model.ts';
import { plainTables } from '../bench/report/table.ts';
import { run } from '../bench/run.ts';
import { hello } from '../bench/workloads/hello.ts';
import { need } from './support/need.ts';
import { processesWith, titleOf } from './support/processes.ts';
import { afterwards, temporaryDirectory, until } from './support/server.ts';

/** What the system tells of processes is known there only. */
const onLinux = { skip: process.platform !== 'linux' };

const root = fileURLToPath(new URL('..', import.meta.url));

/** What follows the build in the script of `npm run bench`; with the Node that runs the tests. */
const script = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).scripts.bench.split(' && ')[1];
const PATH = `${dirname(process.execPath)}:${process.env.PATH}`;

/** `npm run bench`, without the build; its process leads a group, as on a terminal. */
function start(t: TestContext, args: readonly string[], env: Record<string, string> = {}) {
  const temporary = temporaryDirectory(t);
  const mark = randomUUID();
  const child = spawn('/bin/sh', ['-c', `${script} "$@"`, 'bench', ...args], {
    cwd: root,
    env: { ...process.env, PATH, TMPDIR: temporary, BENCH_TEST: mark, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  afterwards(t, () => {
    for (const pid of processesWith(`BENCH_TEST=${mark}`)) process.kill(pid, 'SIGKILL');
  });
  const said = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text) => {
      said[stream] += text;
    });
  }
  return {
    ...{ child, said, ended: once(child, 'close') as Promise<[number | null]> },
    /** As a terminal does on Ctrl-C, to all of the group, and again: the first comes while it is too busy to listen. */
    async interruptTwice() {
      const itself = processesWith(`BENCH_TEST=${mark}`).findLast((pid) =>
        titleOf(pid).includes('bench/bench.ts'),
      )!;
      process.kill(itself, 'SIGSTOP');
      process.kill(-child.pid!, 'SIGINT');
      await sleep(60);
      process.kill(-child.pid!, 'SIGCONT');
      process.kill(-child.pid!, 'SIGINT');
    },
    /** Nothing of it is left: no process, no file. */
    async gone() {
      await until(() => processesWith(`BENCH_TEST=${mark}`).length === 0, 'its processes to be gone');
      assert.deepEqual(
        readdirSync(temporary).filter((name) => name.startsWith('fasticorn-')),
        [],
      );
    },
  };
}

/** Runs it to its end, which must be a good one, and reads what it has written. */
async function results(
  t: TestContext,
  args: readonly string[],
  env?: Record<string, string>,
): Promise<Results> {
  const output = join(temporaryDirectory(t), 'results/test.json');
  const bench = start(t, [...args, '--output', output], env);
  const [code] = await bench.ended;
  assert.equal(code, 0, bench.said.stderr);
  await bench.gone();
  const found: Results = JSON.parse(readFileSync(output, 'utf8'));
  assert.equal(bench.said.stdout, `${plainTables(found)}\n\n`);
  return found;
}

describe('npm run bench', () => {
  it('measures what needs nothing but Node, and names what it skips', async (t) => {
    const bin = temporaryDirectory(t);
    symlinkSync(process.execPath, join(bin, 'node'));
    const { measured, absent } = await results(
      t,
      ['--only', 'startup,reload,hello', '--servers', 'fasticorn', '--rounds', '1'],
      { PATH: bin },
    );
    assert.deepEqual(
      measured.map(({ id, rows }) => [id, rows.map((row) => row.id)]),
      [
        ['startup', ['node-app', 'fasticorn']],
        ['reload', ['fasticorn']],
      ],
    );
    for (const { figures, errors } of measured[0]!.rows) {
      assert.equal(errors, 0);
      assert.ok(figures.answer![0]! > 0);
    }
    const { lost, sent, done } = measured[1]!.rows[0]!.figures;
    assert.deepEqual([lost, sent!.length], [[0], 1]);
    assert.ok(done![0]! > 0);
    assert.deepEqual(
      absent.map(({ what }) => what),
      ['pinning to CPUs', 'hello', 'reload behind nginx'],
    );
    assert.match(absent[1]!.why, /h2load is not installed/);
  });

  it('measures memory and wakeups, with those of the arbiter apart', onLinux, async (t) => {
    const { measured } = await results(t, [
      ...['--only', 'memory,wakeups', '--servers', 'fasticorn,bare-fastify'],
      ...['--rounds', '1', '--seconds', '1'],
    ]);
    for (const { rows } of measured) for (const { id, errors } of rows) assert.equal(errors, 0, id);
    const [memory, wakeups] = measured.map(({ rows }) => rows.find(({ id }) => id === 'fasticorn')!.figures);
    const { rss, arbiter, worker } = memory!;
    assert.ok(Math.abs(rss![0]! - arbiter![0]! - 2 * worker![0]!) < 1);
    assert.ok(wakeups!.total![0]! >= wakeups!.arbiter![0]!);
  });

  it('says which experiments and servers there are', async (t) => {
    const { ended, said } = start(t, ['--list']);
    assert.deepEqual(await ended, [0, null]);
    assert.match(said.stdout, /^hello +Hello world.* \(quick\)$/m);
    assert.match(said.stdout, /^watt +Watt/m);
  });

  it('says in one line what it does not understand', async (t) => {
    const { ended, said } = start(t, ['--only', 'nothing']);
    assert.deepEqual(await ended, [1, null]);
    assert.match(said.stderr, /^There is no experiment "nothing"\. .*\n$/);
    assert.equal(said.stdout, '');
  });

  it(
    'says in one line that its output cannot be written, before anything is measured',
    onLinux,
    async (t) => {
      const directory = temporaryDirectory(t);
      for (const output of ['/proc/nowhere/results.json', directory]) {
        const { child, said } = start(t, ['--only', 'startup', '--output', output]);
        await until(() => child.exitCode !== null, 'its end');
        assert.equal(child.exitCode, 1);
        assert.match(said.stderr, /^--output \S+ cannot be written: .*\n$/);
      }
    },
  );

  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`leaves nothing behind on ${signal}`, async (t) => {
      const bench = start(t, ['--only', 'memory', '--servers', 'fasticorn,cluster-round-robin']);
      await until(() => bench.said.stderr.includes('round 1'), 'servers to run');
      bench.child.kill(signal);
      assert.deepEqual(await bench.ended, [code, null]);
      await bench.gone();
    });
  }

  it('leaves nothing behind on Ctrl-C twice, and a file that was there before as it was', async (t) => {
    const directory = temporaryDirectory(t);
    const output = join(directory, 'before.json');
    writeFileSync(output, 'before');
    const bench = start(t, [
      ...['--only', 'memory', '--servers', 'fasticorn,cluster-round-robin'],
      ...['--output', output],
    ]);
    await until(() => bench.said.stderr.includes('round 1'), 'servers to run');
    await bench.interruptTwice();
    await bench.ended;
    await bench.gone();
    assert.deepEqual(readdirSync(directory), ['before.json']);
    assert.equal(readFileSync(output, 'utf8'), 'before');
  });

  it('makes no file if it is interrupted', async (t) => {
    const directory = temporaryDirectory(t);
    const bench = start(t, [
      ...['--only', 'memory', '--servers', 'fasticorn'],
      ...['--output', join(directory, 'new.json')],
    ]);
    await until(() => bench.said.stderr.includes('round 1'), 'servers to run');
    await bench.interruptTwice();
    await bench.ended;
    assert.deepEqual(readdirSync(directory), []);
  });
});

describe('npm run bench with h2load', need('h2load'), () => {
  it('loads servers, and tells rates, times, and what they cost', async (t) => {
    const { command, measured, versions } = await results(t, [
      ...['--only', 'hello', '--servers', 'fasticorn', '--rounds', '2', '--seconds', '1'],
    ]);
    assert.match(command, /^npm run bench -- --only hello /);
    assert.ok(versions.h2load && versions.fasticorn);
    const [{ rows, baseline, metrics }] = measured as [Results['measured'][number]];
    assert.deepEqual([rows.map(({ id }) => id), baseline], [['fasticorn', 'bare-fastify'], 'bare-fastify']);
    for (const { figures, errors } of rows) {
      assert.equal(errors, 0);
      assert.deepEqual(
        Object.keys(figures),
        metrics.map(({ id }) => id),
      );
      for (const rate of figures.rate!) assert.ok(rate! > 0);
      for (const [round, p50] of figures.p50!.entries()) assert.ok(p50! <= figures.p99![round]!);
    }
  });

  it('takes every path, and every workload', { ...need('nginx') }, async (t) => {
    const { measured, absent } = await results(t, [
      ...['--only', 'nginx,nginx-close,paths,json-1k,json-100k,upload,download,wait,mixed'],
      // Enough for a download or two on a slow machine.
      ...['--servers', 'bare-fastify,bare-http', '--rounds', '1', '--seconds', '1'],
    ]);
    assert.deepEqual(absent, []);
    assert.equal(measured.length, 9);
    for (const { id, rows } of measured) {
      for (const row of rows)
        assert.deepEqual([row.errors, row.figures.rate![0]! > 0], [0, true], `${id}: ${row.id}`);
    }
  });
});

describe('a slice of load', need('h2load'), () => {
  it('is told by itself, also in the directory of another', async (t) => {
    const directory = temporaryDirectory(t);
    const path = join(directory, 'app.sock');
    let status = 200;
    const server = createServer((_, response) => response.writeHead(status).end()).listen(path);
    afterwards(t, () => server.close());
    const slice = () =>
      h2load({
        ...{ endpoint: { kind: 'unix', path }, workload: hello, connections: 2, seconds: 0.3 },
        ...{ cpus: sharesOf('together').load, directory },
      });
    const first = await slice();
    status = 500;
    const second = await slice();
    assert.deepEqual(
      [first, second].map(({ answers, errors }) => [answers > 0, errors > 0]),
      [
        [true, false],
        [false, true],
      ],
    );
  });
});

/** A server whose requests are answered by this function, in JavaScript. */
function serving(id: string, listener: string): Server {
  return {
    ...{ id, title: id, endpoints: ['unix'], missing: () => undefined },
    async start({ endpoint, node, directory, cpus }) {
      const path = endpoint.kind === 'unix' && endpoint.path;
      const code = `require('http').createServer(${listener}).listen(${JSON.stringify(path)})`;
      const launched = launch(node, ['--eval', code], { cpus, log: join(directory, 'log') });
      await untilAnswers(endpoint, launched, 10);
      return { processes: () => [{ pid: launched.pid, role: 'worker' }], stop: () => launched.stop() };
    },
  };
}

const good = (body = '{"hello":"world"}') =>
  `response.setHeader('content-type', 'application/json'), response.end(${JSON.stringify(body)})`;
/** Which request it is, from 1 on. */
const count = '(globalThis.count = (globalThis.count ?? 0) + 1)';
const right = serving('right', `(_, response) => (${good()})`);

/** Of these servers, the first of which is the baseline, with one round. */
const experimentOf = (kind: Experiment['kind'], servers: readonly Server[]): Experiment => ({
  id: 'test',
  title: 'Test',
  kind,
  layout: 'together',
  baseline: servers[0]!.id,
  rounds: 1,
  seconds: 0.3,
  warmUp: 0.3,
  entries: servers.map(({ id }) => ({
    id,
    server: id,
    workers: 1,
    path: 'unix',
    workload: 'hello',
    connections: 4,
  })),
});

/** @param progress is told what comes next. */
async function measure(
  kind: Experiment['kind'],
  servers: readonly Server[],
  more: Partial<Experiment> = {},
  progress: (text: string) => void = () => {},
) {
  const experiment = { ...experimentOf(kind, servers), ...more };
  const { measured, absent } = await run([experiment], servers, progress);
  const { rows } = measured[0]!;
  return { measured, rows, absent: absent.filter(({ what }) => what.startsWith('test')) };
}

describe('a server that', () => {
  it('answers wrongly gets no figure, and the others get theirs', async () => {
    const wrong = serving('wrong', `(_, response) => (${good('{"hello":"World"}')})`);
    const { rows, absent } = await measure('startup', [right, wrong]);
    assert.deepEqual(
      rows.map(({ id }) => id),
      ['right'],
    );
    assert.deepEqual(absent, [{ what: 'test: wrong', why: 'GET /: another body than is right' }]);
  });

  it('does not start is absent with the end of its log', async () => {
    const broken = serving('broken', `(() => { throw new Error('out of order'); })()`);
    const { rows, absent } = await measure('memory', [right, broken]);
    assert.deepEqual(
      rows.map(({ id }) => id),
      ['right'],
    );
    assert.match(absent[0]!.why, /^waited for a good answer: it ended with 1: .*out of order/);
  });

  it('cannot be had is absent with the reason', async () => {
    const { absent } = await measure('startup', [
      right,
      { ...right, id: 'none', missing: () => 'it is elsewhere' },
    ]);
    assert.deepEqual(absent, [{ what: 'test: none', why: 'it is elsewhere' }]);
  });

  it('cannot replace its workers is absent where that is measured', async () => {
    const { absent, rows } = await measure('reload', [right]);
    assert.deepEqual(rows, []);
    assert.deepEqual(absent.at(-1), { what: 'test: right', why: 'it cannot replace its workers' });
  });

  it('errs under load has its errors counted, and gets no ratio', need('h2load'), async () => {
    const flaky = serving(
      'flaky',
      `(_, response) => { response.statusCode = ${count} > 100 ? 500 : 200; ${good()}; }`,
    );
    const { rows, measured } = await measure('load', [right, flaky]);
    assert.equal(rows[0]!.errors, 0);
    assert.ok(rows[1]!.errors > 0);
    const table = plainTables({
      ...{ measured, absent: [], versions: {}, command: '', date: '' },
      machine: { cpu: '', cpus: 1, memory: '', system: '' },
    });
    assert.match(table, /^flaky +[\d,]+ errors /m);
  });

  it('cuts connections under load has those counted as errors', need('h2load'), async () => {
    const cutting = serving(
      'cutting',
      `({ socket }, response) => {
        socket.asked = (socket.asked ?? 0) + 1;
        if (socket.asked > 20) socket.destroy(); else ${good()};
      }`,
    );
    const { rows } = await measure('load', [right, cutting]);
    assert.deepEqual(
      rows.map(({ id, errors }) => [id, errors > 0]),
      [
        ['right', false],
        ['cutting', true],
      ],
    );
  });

  it('loses a connection that is to be idle gets no figure', need('h2load'), async () => {
    const listener = `(request, response) => {
      const all = (globalThis.all ??= new Map());
      all.set(request.socket, (all.get(request.socket) ?? 0) + 1);
      ${good()};
      if (${count} > 60) for (const [socket, asked] of all) if (asked === 1 && socket !== request.socket) socket.destroy();
    }`;
    const forgetful = serving('forgetful', listener);
    const { entries } = experimentOf('load', [right, forgetful]);
    const idle = entries.map((entry) => ({ ...entry, idle: 3 }));
    const { rows, absent } = await measure('load', [right, forgetful], { entries: idle });
    assert.deepEqual(
      rows.map(({ id, errors }) => [id, errors]),
      [['right', 0]],
    );
    assert.deepEqual(absent, [{ what: 'test: forgetful', why: 'a connection that was to be idle was lost' }]);
  });

  it('goes away under load has errors, and no figures from then on', need('h2load'), async () => {
    const mortal = serving('mortal', `(_, response) => { ${good()}; if (${count} > 200) process.exit(); }`);
    const { rows } = await measure('load', [right, mortal]);
    assert.deepEqual(
      rows.map(({ id, errors }) => [id, errors > 0]),
      [
        ['right', false],
        ['mortal', true],
      ],
    );
    assert.deepEqual(rows[1]!.figures.rate, [null]);
  });

  it('is killed at rest has no figures from then on, and an error in each round', onLinux, async () => {
    const running: Running[] = [];
    const mortal: Server = {
      ...{ ...right, id: 'mortal' },
      async start(site) {
        running.push(await right.start(site));
        return running[0]!;
      },
    };
    const { rows, absent } = await measure('wakeups', [right, mortal], { rounds: 2 }, (text) => {
      if (text.endsWith('round 1 of 2')) setTimeout(() => process.kill(running[0]!.processes()[0]!.pid), 50);
    });
    const [, { figures, errors }] = rows as [Row, Row];
    assert.deepEqual([figures.total, figures.cpu, errors], [[null, null], [null, null], 2]);
    assert.deepEqual(absent, [{ what: 'test: mortal', why: 'a process of it has ended' }]);
  });

  it('loses requests before its memory is read has those counted as errors', onLinux, async () => {
    const losing = serving(
      'losing',
      `({ url, socket }, response) => { if (url === '/') ${good()}; else socket.destroy(); }`,
    );
    const { rows } = await measure('memory', [losing]);
    assert.ok(rows[0]!.errors > 0);
    assert.ok(rows[0]!.figures.rss![0]! > 0);
  });

  it('ends before its memory is read has no figure of it', onLinux, async () => {
    const mortal = serving(
      'mortal',
      `({ url }, response) => { if (url !== '/') process.exit(); ${good()}; }`,
    );
    const { rows, absent } = await measure('memory', [mortal]);
    assert.deepEqual(
      Object.values(rows[0]!.figures).map(([figure]) => figure),
      Array(Object.keys(rows[0]!.figures).length).fill(null),
    );
    assert.deepEqual(absent, [{ what: 'test: mortal', why: 'a process of it has ended' }]);
  });

  it(
    'does not come up again when all are started anew has errors in the rounds that it misses',
    need('h2load'),
    async () => {
      let [starts, lonely] = [0, 0];
      const counted: Server = {
        ...right,
        start(site) {
          starts++;
          return right.start(site);
        },
      };
      const once: Server = {
        ...{ ...right, id: 'once' },
        start: (site) => (lonely++ === 0 ? right.start(site) : Promise.reject(new Error('out of order'))),
      };
      const { rows, absent, measured } = await measure('load', [counted, once], {
        ...{ rounds: 4, starts: 2, seconds: 0.2 },
      });
      assert.deepEqual([starts, measured[0]!.starts], [2, 2]);
      assert.deepEqual(
        rows.map(({ errors, figures }) => [errors, figures.rate!.map((rate) => rate !== null)]),
        [
          [0, [true, true, true, true]],
          [2, [true, true, false, false]],
        ],
      );
      assert.deepEqual(absent, [{ what: 'test: once', why: 'out of order' }]);
    },
  );
});
