/**
 * A second server, started with --takeover, takes the place of the first: without loss, or not at all. ROUNDS says how
 * many follow each other under load (2 unless told otherwise).
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { basename, dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn } from './support/command.ts';
import { controlOf, order, statusOf } from './support/control.ts';
import { controlProxy, type Step } from './support/control-proxy.ts';
import { fetchFrom } from './support/http.ts';
import { type LoadResult, load } from './support/load.ts';
import { need } from './support/need.ts';
import { fingerprint, liveServer } from './support/neighbours.ts';
import { startNginx } from './support/nginx.ts';
import { hindrance, NOBODY } from './support/other-user.ts';
import { freePort } from './support/port.ts';
import { Random } from './support/random.ts';
import {
  afterwards,
  app,
  isRunning,
  namesOf,
  type Server,
  startServer,
  temporaryDirectory,
  until,
} from './support/server.ts';

const rounds = Number(process.env.ROUNDS ?? 2);
const SEED = process.env.SEED ?? randomBytes(4).toString('hex');

/** Most tests need no more than one. */
const workers = (args: string[]) => (args.includes('-w') ? args : ['-w', '1', ...args]);

/** Starts a server, and waits until everything about it is in its place. */
async function start(t: TestContext, args: string[] = [], socket?: string): Promise<Server> {
  const options = socket === undefined ? {} : { socket };
  const server = await startServer(t, app('echo.mjs'), workers(args), options);
  if (!args.includes('off')) await inOffice(server);
  return server;
}

/** Starts a server that is to take over from another; does not wait for anything. */
const startNewcomer = (t: TestContext, { socket }: Server, args: string[] = [], file = 'echo.mjs') =>
  startServer(t, app(file), ['--takeover', ...workers(args)], { socket, early: true });

/** The process that answers at the control socket; undefined if nobody does. */
const pidInOffice = (server: Server) =>
  statusOf(server).then(
    ({ arbiter }) => arbiter.pid,
    () => undefined,
  );

/** The worker that answers at the path; undefined if nobody does. */
const pidThatAnswers = ({ socket }: Server) =>
  fetchFrom({ socketPath: socket }, '/pid').then(
    ({ body }) => Number(body),
    () => undefined,
  );

/** Waits until a server is the one that is reached. */
async function inOffice(server: Server): Promise<void> {
  await until(async () => {
    if (server.process.exitCode !== null) throw new Error(`it ended: ${server.stderr}`);
    return (await pidInOffice(server)) === server.pid;
  }, 'the newcomer to be in office');
  server.workers();
}

async function takeOver(t: TestContext, first: Server, args: string[] = []): Promise<Server> {
  const second = await startNewcomer(t, first, args);
  await inOffice(second);
  return second;
}

/** Everything in the directory of a server. */
const names = ({ socket }: Server) => readdirSync(dirname(socket)).sort();

/** Asserts that there are exactly the names of one server: the public ones, and a hidden one for each. */
async function assertNamesOfOne(server: Server, more: string[] = []): Promise<void> {
  const socket = basename(server.socket);
  const kinds = () =>
    names(server)
      .map((name) => name.replace(/\.[0-9a-f]{8}$/, '.HEX'))
      .sort();
  const wanted = [socket, `${socket}.ctl`, `.${socket}.HEX`, `.${socket}.ctl.HEX`, ...more].sort();
  await until(() => kinds().length <= wanted.length, `${names(server)} to be the names of one server`);
  assert.deepEqual(kinds(), wanted);
}

/** Asserts that a server answers at the path, survives, and leaves nothing behind when it is stopped. */
async function assertServesAlone(server: Server, more: string[] = []): Promise<void> {
  assert.equal((await fetchFrom({ socketPath: server.socket }, '/')).body, 'hello');
  await until(async () => (await pidInOffice(server)) === server.pid, 'its control socket');
  assert((await statusOf(server)).workers.every(({ pid }) => isRunning(pid!)));
  await assertNamesOfOne(server, more);
  assert.equal(await server.stop(), 0);
  assert.deepEqual(names(server), more);
}

/** Asserts that a command is refused at once, in one line, and has touched nothing. */
async function assertRefused(t: TestContext, server: Server, args: string[], why: RegExp, uid?: number) {
  const before = names(server);
  const print = fingerprint(server.socket);
  const bind = args.includes('--bind') ? [] : ['--bind', `unix:${server.socket}`];
  const options = uid === undefined ? {} : { uid, cwd: '/' };
  const { code, stderr } = await fasticorn(t, [...bind, ...args, app('echo.mjs')], options);
  assert.match(stderr, why);
  assert.match(stderr, /^fasticorn: .*\n$/, 'one line, from before anything was started');
  assert.equal(code, 1);
  assert.deepEqual(names(server), before);
  assert.equal(fingerprint(server.socket), print);
  assert.equal((await fetchFrom({ socketPath: server.socket }, '/')).body, 'hello');
}

/** A load that lasts until it is told to stop; `connections` that are `kept` or opened for each request. */
function keepAsking(t: TestContext, to: { socketPath: string } | { port: number }, keepAlive: boolean) {
  const enough = new AbortController();
  afterwards(t, () => enough.abort());
  const result = load({ to, keepAlive, connections: 16, signal: enough.signal, seconds: 600 });
  return async (): Promise<LoadResult> => {
    enough.abort();
    return result;
  };
}

function assertNothingLost(t: TestContext, { sent, good, bad, refused }: LoadResult): void {
  t.diagnostic(`${sent} requests sent, ${bad.length + refused} lost`);
  assert.deepEqual(bad.slice(0, 10), []);
  assert.equal(refused, 0);
  assert.equal(good, sent);
  assert(sent > 50, `only ${sent} requests`);
}

/** So many servers take over, one from the other; each ends well, and the last one serves. */
async function takeOverAndOver(t: TestContext, first: Server): Promise<Server> {
  const before: Server[] = [];
  let server = first;
  for (let round = 0; round < rounds; round++) {
    before.push(server);
    server = await takeOver(t, server, ['-w', '2']);
  }
  for (const { exited } of before) assert.deepEqual(await exited, { code: 0, signal: null });
  return server;
}

describe('a takeover loses no request', () => {
  for (const [how, keepAlive] of [
    ['on connections that are kept', true],
    ['on one connection per request', false],
  ] as const) {
    it(`straight, ${how}`, async (t) => {
      const first = await start(t, ['-w', '2']);
      const enough = keepAsking(t, { socketPath: first.socket }, keepAlive);
      const last = await takeOverAndOver(t, first);
      assertNothingLost(t, await enough());
      await assertServesAlone(last);
    });
  }
});

describe('a takeover behind nginx loses no request', need('nginx'), () => {
  for (const connection of ['pool', 'close'] as const) {
    it(`with upstream connections: ${connection}`, async (t) => {
      const first = await start(t, ['-w', '2']);
      const nginx = await startNginx({ socket: first.socket, connection });
      t.after(() => nginx.stop());
      const enough = keepAsking(t, { port: nginx.port }, true);
      const last = await takeOverAndOver(t, first);
      assertNothingLost(t, await enough());
      assert.doesNotMatch(await nginx.errorLog(), /\[(error|crit)\]/);
      await assertServesAlone(last);
    });
  }
});

describe('a takeover in which one dies leaves the other one serving', { concurrency: 3 }, () => {
  /** Has a newcomer take over through a proxy, and kills one of the two at a step of their talk. */
  async function dies(t: TestContext, who: 'old' | 'new', step: Step) {
    const old = await start(t);
    const proxy = join(temporaryDirectory(t), 'proxy.ctl');
    let newcomer: Server | undefined;
    let killed = false;
    const at = async (now: Step) => {
      if (now !== step) return true;
      const victim = who === 'old' ? old : newcomer!;
      victim.workers();
      victim.kill('SIGKILL');
      await victim.exited;
      killed = true;
      return who === 'old';
    };
    await controlProxy(t, proxy, controlOf(old), at);
    const enough = keepAsking(t, { socketPath: old.socket }, false);
    newcomer = await startNewcomer(t, old, ['--control-socket', proxy]);
    await until(() => killed, `the ${who} one's end`);
    return { old, newcomer, enough };
  }

  const steps: Step[] = [
    'before GET /status',
    'after GET /status',
    'before POST /yield',
    'after POST /yield',
  ];
  for (const step of [...steps, 'before POST /yield/done'] as Step[]) {
    it(`the newcomer, ${step}`, async (t) => {
      const { old, enough } = await dies(t, 'new', step);
      await until(async () => (await statusOf(old)).arbiter.phase === 'serving', 'the old one to serve');
      const inode = () => fingerprint(old.socket);
      // Also where it had the path in its hands by then: its worker answers what has come meanwhile.
      assertNothingLost(t, await enough());
      const before = inode();
      // It takes over at the second attempt, when the first has left nothing that is in the way.
      const next = await takeOver(t, old);
      assert.notEqual(inode(), before);
      assert.equal((await old.exited).code, 0);
      await assertServesAlone(next);
    });
  }

  for (const step of [...steps, 'before POST /yield/done', 'after POST /yield/done'] as Step[]) {
    it(`the old one, ${step}`, async (t) => {
      const { newcomer, enough } = await dies(t, 'old', step);
      const isServing = async () => newcomer.workers().includes((await pidThatAnswers(newcomer)) ?? 0);
      await until(isServing, 'an answer from the newcomer');
      const { bad } = await enough();
      assert.deepEqual(bad, []);
      assert.equal(newcomer.process.exitCode, null);
      assert.equal(await newcomer.stop(), 0);
      await until(() => namesOf(newcomer.socket).length === 0, 'all names to be gone');
    });
  }

  it('the newcomer, at any moment', async (t) => {
    t.diagnostic(`SEED=${SEED} repeats these moments`);
    const random = new Random(SEED);
    const old = await start(t);
    const enough = keepAsking(t, { socketPath: old.socket }, false);
    const hasGone = () => old.process.exitCode === 0;
    for (let round = 0; round < rounds && !hasGone(); round++) {
      const newcomer = await startNewcomer(t, old);
      const asked = () => old.log().filter(({ msg }) => /asks to take over/.test(msg)).length;
      const before = asked();
      const moment = Date.now() + random.between(0, 4000);
      await until(() => newcomer.workers().length > 0, 'a worker');
      await until(() => Date.now() > moment || asked() > before, 'the moment');
      newcomer.kill('SIGKILL');
      await newcomer.exited;
      // Once it has been told that the path is the newcomer's the old one goes, as it was asked to.
      // Until it does, its control socket may still answer, and nobody at the path.
      const answers = async () => old.workers().includes((await pidThatAnswers(old)) ?? 0);
      const isBack = async () => (await answers()) && (await pidInOffice(old)) === old.pid;
      await until(async () => hasGone() || (await isBack()), 'the old one');
      assert(hasGone() || old.workers().includes((await pidThatAnswers(old))!));
    }
    const { bad } = await enough();
    if (!hasGone()) assert.deepEqual(bad, []);
  });
});

describe('a takeover that fails leaves the first server as it was:', { concurrency: 3 }, () => {
  /** The newcomer ends with this code, and the first one serves on as if nothing had been. */
  async function fails(first: Server, newcomer: Server, code: number) {
    const { code: ended } = await newcomer.exited;
    assert.equal(ended, code, newcomer.stderr);
    assert.equal(await pidInOffice(first), first.pid);
  }

  it('an app that throws when it is loaded', async (t) => {
    const first = await start(t);
    const before = names(first);
    const print = fingerprint(first.socket);
    const enough = keepAsking(t, { socketPath: first.socket }, false);
    const broken = join(temporaryDirectory(t), 'broken.mjs');
    writeFileSync(broken, "export default async () => { throw new Error('broken on purpose'); };");
    const options = { socket: first.socket, early: true };
    const newcomer = await startServer(t, broken, ['--takeover'], options);
    await fails(first, newcomer, 4);
    assert.match(newcomer.stderr, /broken on purpose/);
    assertNothingLost(t, await enough());
    assert.deepEqual(names(first), before);
    assert.equal(fingerprint(first.socket), print);
    await assertServesAlone(first);
  });

  it('the second of two paths cannot be had at the last moment', async (t) => {
    const first = await start(t);
    const second = join(temporaryDirectory(t), 'second.sock');
    const proxy = join(temporaryDirectory(t), 'proxy.ctl');
    await controlProxy(t, proxy, controlOf(first), (step) => {
      if (step === 'before POST /yield') writeFileSync(second, 'precious');
    });
    const enough = keepAsking(t, { socketPath: first.socket }, false);
    const binds = ['--bind', `unix:${first.socket}`, '--bind', `unix:${second}`];
    const newcomer = await startNewcomer(t, first, [...binds, '--control-socket', proxy]);
    await fails(first, newcomer, 1);
    assert.match(newcomer.stderr, /second\.sock: there is a file that is not a socket/);
    assertNothingLost(t, await enough());
    assert.equal(readFileSync(second, 'utf8'), 'precious');
    await assertServesAlone(first);
  });

  it('the first server does not hear that its path was taken', async (t) => {
    const first = await start(t);
    const proxy = join(temporaryDirectory(t), 'proxy.ctl');
    await controlProxy(t, proxy, controlOf(first), (step) => step !== 'before POST /yield/done');
    const newcomer = await startNewcomer(t, first, ['--control-socket', proxy]);
    await fails(first, newcomer, 1);
    assert.match(newcomer.stderr, /proxy\.ctl: the server went away before it answered/);
    await assertServesAlone(first);
  });

  it('the pid file cannot be written', async (t) => {
    const first = await start(t);
    await assertRefused(t, first, ['--takeover', '--pid', '/nowhere/app.pid'], /\/nowhere does not exist/);
    await assertServesAlone(first);
  });

  it('somebody else has the TCP port', async (t) => {
    const port = `127.0.0.1:${await freePort()}`;
    const socket = join(temporaryDirectory(t), 'app.sock');
    const both = ['--bind', `unix:${socket}`, '--bind', port];
    const server = await start(t, both, socket);
    await assertRefused(
      t,
      server,
      ['--takeover', ...both],
      /only Unix sockets with a path can be taken over.*EADDRINUSE/,
    );
    await assertServesAlone(server);
  });
});

describe('a live socket is refused', { concurrency: 3 }, () => {
  it('without --takeover', async (t) => {
    const first = await start(t);
    await assertRefused(t, first, [], /another server is listening there; .* start with --takeover/);
    await assertServesAlone(first);
  });

  it('if its server has no control socket', async (t) => {
    const first = await start(t, ['--control-socket', 'off']);
    await assertRefused(
      t,
      first,
      ['--takeover'],
      /cannot be asked to go: .*app\.sock\.ctl: there is no such/,
    );
  });

  it('if we are to have no control socket', async (t) => {
    const first = await start(t);
    const args = ['--takeover', '--control-socket', 'off'];
    await assertRefused(t, first, args, /--takeover: the control socket is off/);
  });

  it('if it is another user’s', async (t) => {
    const directory = temporaryDirectory(t);
    const reason = await hindrance(t);
    if (reason) return t.skip(reason);
    chmodSync(directory, 0o777);
    const first = await start(t, [], join(directory, 'app.sock'));
    await assertRefused(t, first, ['--takeover'], /only the user who runs the server .*EACCES/, NOBODY);
    await assertServesAlone(first);
  });

  it('if it is no fasticorn’s, with and without anything at the place of a control socket', async (t) => {
    const socket = join(temporaryDirectory(t), 'app.sock');
    const foreign = await liveServer(t, socket);
    const args = ['--bind', `unix:${socket}`, '--takeover', app('echo.mjs')];
    const print = fingerprint(socket);
    const none = await fasticorn(t, args);
    assert.match(none.stderr, /^fasticorn: --takeover: .* no such socket\b.*\n$/);

    const answers = ['{"healthy":true}', 'null', 'hello'];
    const control = createServer((_request, response) => response.end(answers.shift() ?? '{}'));
    control.listen(`${socket}.ctl`);
    t.after(() => control.close());
    while (answers.length > 0) {
      const { code, stderr } = await fasticorn(t, args);
      assert.match(stderr, /^fasticorn: --takeover: .* is not a fasticorn's control socket\n$/);
      assert.equal(code, 1);
    }
    assert.equal(fingerprint(socket), print);
    assert.deepEqual(readdirSync(dirname(socket)).sort(), ['app.sock', 'app.sock.ctl']);
    foreign.close();
  });

  it('if one of the paths is the server’s that can be asked, and another one somebody else’s', async (t) => {
    const first = await start(t);
    const other = await start(t);
    const binds = ['--bind', `unix:${first.socket}`, '--bind', `unix:${other.socket}`];
    await assertRefused(
      t,
      other,
      ['--takeover', ...binds],
      /app\.sock is not a socket of the server that can be asked to go/,
    );
    await assertServesAlone(first);
    await assertServesAlone(other);
  });

  it('if the control socket that is named is another server’s', async (t) => {
    const first = await start(t);
    // Whoever comes second does without.
    const shared = ['--control-socket', controlOf(first)];
    const other = await startServer(t, app('echo.mjs'), workers(shared));
    await assertRefused(
      t,
      other,
      ['--takeover', ...shared],
      /app\.sock is not a socket of the server that can be asked to go/,
    );
    await assertServesAlone(first);
  });

  it('if the pid file is a third server’s', async (t) => {
    const pidFile = join(temporaryDirectory(t), 'app.pid');
    const first = await start(t);
    const third = await start(t, ['--pid', pidFile]);
    await assertRefused(t, first, ['--takeover', '--pid', pidFile], /a fasticorn is running with pid/);
    assert.equal(readFileSync(pidFile, 'utf8'), `${third.pid}\n`);
  });
});

describe('--takeover', { concurrency: 3 }, () => {
  it('starts normally where nobody is, or only a dead socket', async (t) => {
    const first = await start(t, ['--takeover']);
    await inOffice(first);
    first.kill('SIGKILL');
    await first.exited;
    const second = await start(t, ['--takeover'], first.socket);
    await inOffice(second);
    await assertServesAlone(second);
  });

  it('is refused in one line while the first one reloads, and works after that', async (t) => {
    const first = await start(t);
    const proxy = join(temporaryDirectory(t), 'proxy.ctl');
    let reload: Promise<unknown> | undefined;
    await controlProxy(t, proxy, controlOf(first), async (step) => {
      if (step !== 'before POST /yield') return;
      reload = order(first, '/reload');
      await until(async () => (await statusOf(first)).arbiter.phase === 'reloading', 'the reload');
    });
    const early = await startNewcomer(t, first, ['--control-socket', proxy]);
    assert.equal((await early.exited).code, 1);
    assert.match(early.stderr, /cannot be asked to go: .*busy with/);
    await reload;
    assert.equal(await pidInOffice(first), first.pid);
    await assertServesAlone(await takeOver(t, first));
    assert.equal((await first.exited).code, 0);
  });

  it('finds the path free when the first one was stopped meanwhile', async (t) => {
    const first = await start(t);
    const proxy = join(temporaryDirectory(t), 'proxy.ctl');
    await controlProxy(t, proxy, controlOf(first), async (step) => {
      if (step !== 'before POST /yield') return;
      first.kill('SIGTERM');
      await until(() => !existsSync(first.socket), 'the stop');
    });
    const second = await startNewcomer(t, first, ['--control-socket', proxy]);
    assert.equal((await first.exited).code, 0);
    await until(() => existsSync(second.socket), 'the newcomer');
    assert.equal((await fetchFrom({ socketPath: second.socket }, '/')).body, 'hello');
    assert.equal(await second.stop(), 0);
  });

  it('of two at once leaves one server, and nothing is lost', async (t) => {
    const first = await start(t);
    const enough = keepAsking(t, { socketPath: first.socket }, false);
    const newcomers = await Promise.all([startNewcomer(t, first), startNewcomer(t, first)]);
    await first.exited;
    // The other one was refused, or came after and took over from the one before.
    const ended = await Promise.race(newcomers.map(async (one) => one.exited.then(() => one)));
    const last = newcomers.find((one) => one !== ended)!;
    await inOffice(last);
    assert.doesNotMatch(ended.stderr, /\n {4}at /);
    assertNothingLost(t, await enough());
    await assertServesAlone(last);
  });

  it('takes over from a server that was upgraded; and the one that took over can be upgraded', async (t) => {
    const first = await start(t);
    const enough = keepAsking(t, { socketPath: first.socket }, false);
    const upgrade = async (server: Server): Promise<number> => {
      const before = await pidInOffice(server);
      const { status, body } = await order(server, '/upgrade');
      assert.equal(status, 200, body);
      const after = (await pidInOffice(server))!;
      assert.notEqual(after, before);
      t.after(() => isRunning(after) && process.kill(after, 'SIGKILL'));
      return after;
    };
    const upgraded = await upgrade(first);
    const second = await takeOver(t, first);
    await until(() => !isRunning(upgraded), 'the upgraded one to end');
    assert.equal((await first.exited).code, 0);
    const last = await upgrade(second);
    assert.equal((await second.exited).code, 0);
    assertNothingLost(t, await enough());
    await assertNamesOfOne(second);
    process.kill(last, 'SIGTERM');
    await until(() => !isRunning(last), 'the last one to end');
    assert.deepEqual(names(second), []);
  });

  it('hands the pid file on: it is never absent or wrong', async (t) => {
    const pidFile = join(temporaryDirectory(t), 'app.pid');
    const first = await start(t, ['--pid', pidFile]);
    await until(() => existsSync(pidFile), 'the pid file');
    const seen = new Set<string>();
    let over = false;
    const watching = (async () => {
      while (!over) {
        seen.add(readFileSync(pidFile, 'utf8'));
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const second = await takeOver(t, first, ['--pid', pidFile]);
    assert.equal((await first.exited).code, 0);
    over = true;
    await watching;
    assert.deepEqual([...seen], [`${first.pid}\n`, `${second.pid}\n`]);
    await assertServesAlone(second);
    assert.equal(existsSync(pidFile), false);
  });

  it('takes several paths over, and leaves none without a server', async (t) => {
    const socket = join(temporaryDirectory(t), 'app.sock');
    const beside = join(dirname(socket), 'beside.sock');
    const both = ['--bind', `unix:${socket}`, '--bind', `unix:${beside}`];
    const first = await start(t, both, socket);
    const loads = [socket, beside].map((socketPath) => keepAsking(t, { socketPath }, false));
    const second = await takeOver(t, first, both);
    assert.equal((await first.exited).code, 0);
    for (const enough of loads) assertNothingLost(t, await enough());
    assert.equal((await fetchFrom({ socketPath: beside }, '/')).body, 'hello');
    assert.equal(await second.stop(), 0);
    assert.deepEqual(names(second), []);
  });

  it('takes over from a server that is paused: what waits is answered', async (t) => {
    const first = await start(t);
    await order(first, '/pause');
    await until(async () => (await statusOf(first)).workers.length === 0, 'no workers');
    const waiting = Array.from({ length: 20 }, () => fetchFrom({ socketPath: first.socket }, '/'));
    const second = await takeOver(t, first);
    for (const answer of waiting) assert.equal((await answer).body, 'hello');
    assert.equal((await first.exited).code, 0);
    await assertServesAlone(second);
  });

  it('leaves the new one alone when the old one is told to stop afterwards', async (t) => {
    const first = await start(t);
    const slow = fetchFrom({ socketPath: first.socket }, '/token/slow?delay=6000');
    await until(async () => (await statusOf(first)).workers.some(({ inFlight = 0 }) => inFlight > 0), 'it');
    const second = await takeOver(t, first);
    first.kill('SIGTERM');
    assert.equal((await slow).body, 'token slow');
    assert.equal((await first.exited).code, 0);
    await assertServesAlone(second);
  });
});
