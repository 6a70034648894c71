/**
 * Workers whose event loop does not turn: what the log tells of them before they are killed and replaced; and all
 * that only looks like it, and kills nobody.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { order, readyWorkers, settled, statusOf } from './support/control.ts';
import { type Answer, fetchFrom } from './support/http.ts';
import {
  app,
  isRunning,
  type Server,
  type ServerOptions,
  startServer,
  temporaryDirectory,
  until,
} from './support/server.ts';

const start = async (t: TestContext, args: readonly string[], options: ServerOptions = {}) => {
  const server = await startServer(t, app('stuck.mjs'), ['-w', '2', ...args], options);
  await settled(server, 2);
  return server;
};

const get = (server: Server, path: string, headers = {}): Promise<Answer> =>
  // Fails the test rather than wait for ever.
  fetchFrom({ socketPath: server.socket }, path, { headers, signal: AbortSignal.timeout(60_000) });

/** A request whose connection is ended without an answer; resolves with the error's code. */
const doomed = (server: Server, path: string, headers = {}): Promise<string> =>
  get(server, path, headers).then(
    ({ status }) => `answered ${status}`,
    ({ code }) => code,
  );

interface Report {
  err: { stack: string };
  inFlight: { method: string; url: string; id: string; age: number }[];
  memory: { rss: number; heapUsed: number };
  msg: string;
  level: number;
}

const reports = (server: Server): Report[] =>
  server.log().filter(({ err }) => (err as Error | undefined)?.stack?.startsWith('Blocked')) as never;

const saying = (server: Server, text: RegExp) => server.log().filter(({ msg }) => text.test(msg));
const killedFor = (server: Server, pid: number) => saying(server, new RegExp(`\\(pid ${pid}\\) was killed`));

/** Has a worker do what says with a mark that it has begun; which worker it was, and what becomes of the request. */
async function victim(
  t: TestContext,
  server: Server,
  path: string,
): Promise<{ pid: number; answer: Promise<string> }> {
  const mark = join(temporaryDirectory(t), 'mark');
  writeFileSync(mark, '');
  const answer = doomed(server, `${path}&mark=${mark}`);
  await until(() => readFileSync(mark, 'utf8') !== '', `${path} to have begun`);
  return { pid: Number(readFileSync(mark, 'utf8')), answer };
}

/** Waits until so many beats have come from a worker. */
async function beats(server: Server, count: number): Promise<void> {
  const pid = (await readyWorkers(server))[0]!.pid;
  let seen = 0;
  let last = '';
  await until(async () => {
    const beat = JSON.stringify({ ...(await readyWorkers(server)).find((one) => one.pid === pid), age: 0 });
    if (beat !== last) seen++;
    last = beat;
    return seen > count;
  }, `${count} beats`);
}

describe('A worker whose event loop is blocked', () => {
  for (const { path, place, what } of [
    { path: '/spin?secret=1', place: 'spinForEver', what: 'in an endless loop' },
    { path: '/regex?secret=1', place: 'backtrack', what: 'in a runaway regular expression' },
  ]) {
    it(`${what} is killed and replaced; the log says where it was and what it had in flight`, async (t) => {
      const server = await start(t, ['--timeout', '1']);
      const before = server.workers();
      assert.equal(await doomed(server, path, { 'x-request-id': 'asked-first' }), 'ECONNRESET');
      await settled(server, 2);
      const [pid] = before.filter((one) => !isRunning(one));
      const [report, ...more] = reports(server);
      assert.deepEqual(more, []);
      const [, inner, outer] = report!.err.stack.split('\n');
      const line =
        readFileSync(app('stuck.mjs'), 'utf8')
          .split('\n')
          .findIndex((one) => one.includes(`function ${place}`)) + 2;
      assert.match(inner!, new RegExp(`^    at ${place} \\(file://.*/stuck\\.mjs:${line}:\\d+\\)$`));
      assert.match(outer!, /stuck\.mjs:\d+:\d+\)$/);
      const [request, ...others] = report!.inFlight;
      assert.deepEqual(others, []);
      assert.deepEqual({ ...request, age: 0 }, { method: 'GET', url: path, id: 'asked-first', age: 0 });
      assert.ok(request!.age >= 750);
      assert.ok(report!.memory.rss > 20e6 && report!.memory.heapUsed > 1e6);
      assert.equal(report!.level, 50);
      // The same in words, for those who read the log rather than parse it.
      assert.match(
        report!.msg,
        new RegExp(`^worker \\d \\(pid ${pid}\\) is blocked at ${place} \\(file:.*stuck\\.mjs:${line}`),
      );
      assert.match(report!.msg, /in flight: GET \/\w+\?secret=1 \(id asked-first, \d+ ms\); rss \d+ MiB$/);
      assert.equal(killedFor(server, pid!).length, 1);
      const [exit] = (await statusOf(server)).exits;
      assert.deepEqual([exit!.pid, /--timeout/.test(exit!.reason)], [pid, true]);
      assert.equal(await server.stop(), 0);
    });
  }

  it('tells of every request that it had begun, under the ids of the access log', async (t) => {
    const server = await startServer(t, app('stuck.mjs'), ['-w', '1', '--timeout', '1']);
    const mark = join(temporaryDirectory(t), 'mark');
    const slow = doomed(server, `/slow?ms=60000&mark=${mark}`);
    await until(() => readFileSync(mark, { encoding: 'utf8', flag: 'a+' }) !== '', 'the first request');
    assert.equal(await doomed(server, '/spin'), 'ECONNRESET');
    assert.equal(await slow, 'ECONNRESET');
    const { inFlight } = reports(server)[0]!;
    assert.deepEqual(
      inFlight.map(({ url }) => url.replace(/\?.*/, '')),
      ['/slow', '/spin'],
    );
    const ids = inFlight.map(({ id }) => id);
    assert.ok(ids.every((id) => id.length > 8) && new Set(ids).size === 2, String(ids));
    assert.equal(await server.stop(), 0);
  });

  it('does no harm to the others, which answer all the time', async (t) => {
    const server = await start(t, ['--timeout', '1']);
    const { pid, answer } = await victim(t, server, '/block?ms=600000');
    let answers = 0;
    while (isRunning(pid)) {
      assert.notEqual(Number((await get(server, '/pid')).body), pid);
      answers++;
    }
    assert.ok(answers > 50);
    assert.equal(await answer, 'ECONNRESET');
    await settled(server, 2);
    assert.equal(saying(server, /was killed|died:/).length, 1);
    assert.equal(await server.stop(), 0);
  });

  it('is examined and killed beside others that are blocked at the same time', async (t) => {
    const server = await startServer(t, app('stuck.mjs'), ['-w', '4', '--timeout', '1']);
    await settled(server, 4);
    const victims = [];
    for (let n = 0; n < 4; n++) victims.push(await victim(t, server, `/block?ms=600000&n=${n}`));
    assert.equal(new Set(victims.map(({ pid }) => pid)).size, 4);
    // Queues until there are workers again.
    const waiting = get(server, '/');
    assert.deepEqual(await Promise.all(victims.map(({ answer }) => answer)), Array(4).fill('ECONNRESET'));
    assert.equal((await waiting).body, 'hello');
    await settled(server, 4);
    assert.deepEqual(
      saying(server, /what it does is not known/).map(({ msg }) => msg),
      [],
    );
    const told = reports(server).map(({ inFlight }) => inFlight[0]?.url.replace(/&mark.*/, ''));
    assert.deepEqual(
      told.sort(),
      [0, 1, 2, 3].map((n) => `/block?ms=600000&n=${n}`),
    );
    assert.equal(await server.stop(), 0);
  });
});

// Together, as each waits for the end of an examination.
describe('A worker that tells nothing even when it is examined', { concurrency: true }, () => {
  it('is replaced at once, long before it is killed', async (t) => {
    const server = await startServer(t, app('stuck.mjs'), ['-w', '1', '--timeout', '1']);
    await settled(server, 1);
    const { pid: before, answer } = await victim(t, server, '/child?');
    // Waits in the queue until there is another worker.
    await until(async () => Number((await get(server, '/pid')).body) !== before, 'the replacement');
    assert.ok(isRunning(before));
    assert.deepEqual((await statusOf(server)).workers.map(({ phase }) => phase).sort(), ['ready', 'stuck']);
    assert.equal(await answer, 'ECONNRESET');
    await settled(server, 1);
    assert.equal(await server.stop(), 0);
  });

  it('because it is stopped is killed all the same', async (t) => {
    const server = await start(t, ['--timeout', '1']);
    const pid = server.workers()[0]!;
    process.kill(pid, 'SIGSTOP');
    await until(
      async () => (await statusOf(server)).workers.find((one) => one.pid === pid)?.phase === 'stuck',
      'the worker to be called stuck',
    );
    await until(() => !isRunning(pid), 'the worker to be killed');
    await settled(server, 2);
    assert.equal(
      saying(server, new RegExp(`\\(pid ${pid}\\) is to be killed; what it does is not known: .*stopped`))
        .length,
      1,
    );
    assert.equal(killedFor(server, pid).length, 1);
    assert.equal(await server.stop(), 0);
  });

  it('because it waits for the system is killed all the same', async (t) => {
    const server = await start(t, ['--timeout', '1']);
    const answer = doomed(server, '/child');
    assert.equal(await answer, 'ECONNRESET');
    await settled(server, 2);
    assert.equal(saying(server, /what it does is not known/).length, 1);
    assert.equal(await server.stop(), 0);
  });

  it('keeps nobody from ending everything quickly', async (t) => {
    const server = await start(t, ['--timeout', '1']);
    const pid = server.workers()[0]!;
    process.kill(pid, 'SIGSTOP');
    await until(
      async () => (await statusOf(server)).workers.some(({ phase }) => phase === 'stuck'),
      'the worker to be called stuck',
    );
    server.kill('SIGINT');
    assert.equal((await server.exited).code, 0);
    assert.equal(isRunning(pid), false);
    // Nobody waited for the end of the examination, which would have found this.
    assert.equal(saying(server, /what it does is not known: .*stopped/).length, 0);
  });
});

describe('A worker that blocks while it boots', () => {
  it('ends a start after the boot timeout, and the log says where', async (t) => {
    const flag = join(temporaryDirectory(t), 'block');
    writeFileSync(flag, '');
    const server = await startServer(t, app('stuck.mjs'), ['-w', '1', '--boot-timeout', '3'], {
      env: { BLOCK_IF: flag },
      early: true,
    });
    assert.equal((await server.exited).code, 3);
    assert.match(reports(server)[0]!.msg, /is blocked at spinForEver \(.*no request in flight/);
    assert.equal(saying(server, /--boot-timeout/).length, 1);
  });

  it('does no harm to those that serve', async (t) => {
    const flag = join(temporaryDirectory(t), 'block');
    const server = await start(t, ['--boot-timeout', '3', '--timeout', '1'], { env: { BLOCK_IF: flag } });
    writeFileSync(flag, '');
    const serving = server.workers();
    assert.equal((await order(server, '/scale/3')).status, 200);
    await until(() => saying(server, /--boot-timeout/).length > 0, 'the boot timeout');
    assert.match(reports(server)[0]!.msg, /^worker 3 .* is blocked at spinForEver/);
    assert.deepEqual(serving.filter(isRunning), serving);
    assert.equal(saying(server, /worker [12] .*(killed|died)/).length, 0);
    assert.equal(await server.stop(), 0);
  });
});

describe('Nobody is killed', () => {
  it('with --timeout 0, however long a loop is blocked', async (t) => {
    const server = await start(t, ['--timeout', '0']);
    assert.equal((await get(server, '/block?ms=4000')).body, 'blocked');
    assert.equal(saying(server, /killed|died/).length, 0);
    assert.equal(await server.stop(), 0);
  });

  it('whose loop is blocked for less than the timeout', async (t) => {
    const server = await start(t, ['--timeout', '6']);
    assert.equal((await get(server, '/block?ms=3000')).body, 'blocked');
    assert.equal(saying(server, /killed|died/).length, 0);
    assert.equal(await server.stop(), 0);
  });

  it('who is busy all the time, but never for long', async (t) => {
    const server = await start(t, ['--timeout', '2']);
    const bursts = await Promise.all([get(server, '/bursts?ms=5000'), get(server, '/bursts?ms=5000')]);
    assert.deepEqual(
      bursts.map(({ body }) => body),
      ['done', 'done'],
    );
    assert.equal(saying(server, /killed|died/).length, 0);
    assert.equal(await server.stop(), 0);
  });

  it('by an arbiter that was stopped for longer than the timeout', async (t) => {
    const server = await start(t, ['--timeout', '1']);
    const workers = server.workers();
    server.kill('SIGSTOP');
    // The workers fill the channel meanwhile.
    assert.equal((await get(server, '/slow?ms=3500')).body, 'slow');
    server.kill('SIGCONT');
    await beats(server, 5);
    assert.deepEqual(server.workers(), workers);
    assert.equal(saying(server, /killed|died/).length, 0);
    assert.equal(await server.stop(), 0);
  });

  it('when all processes were stopped, as by a suspended machine, whoever goes on first', async (t) => {
    const server = await start(t, ['--timeout', '1']);
    const workers = server.workers();
    const all = [server.pid, ...workers];
    for (const first of [server.pid, workers[0]!]) {
      const inFlight = get(server, '/slow?ms=100');
      for (const pid of all) process.kill(pid, 'SIGSTOP');
      await new Promise((resolve) => setTimeout(resolve, 3000));
      for (const pid of [first, ...all]) process.kill(pid, 'SIGCONT');
      await inFlight;
      await beats(server, 5);
    }
    assert.deepEqual(server.workers(), workers);
    assert.equal(saying(server, /killed|died/).length, 0);
    assert.equal(await server.stop(), 0);
  });

  it('who boots while the arbiter is stopped for longer than the boot timeout', async (t) => {
    const server = await start(t, ['--boot-timeout', '3']);
    await order(server, '/scale/3');
    server.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 5000));
    server.kill('SIGCONT');
    await settled(server, 3);
    assert.equal(saying(server, /killed|died/).length, 0);
    assert.equal(await server.stop(), 0);
  });
});
