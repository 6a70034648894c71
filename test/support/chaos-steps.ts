/**
 * What the chaos suite does to a server: each step with what it needs, the traffic that it allows, and the outcome
 * that it has to have. Steps draw all that is left to chance from the numbers they are given, so that a seed repeats
 * them.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PhaseName } from './chaos-traffic.ts';
import type { World } from './chaos-world.ts';
import { fasticorn } from './command.ts';
import { load } from './load.ts';
import { childrenOf, linksOf, titleOf } from './processes.ts';
import type { Random } from './random.ts';
import { isRunning, until } from './server.ts';

/** One thing to do. */
export interface Step {
  name: string;
  weight: number;
  /** Whether it can be done now; if absent, always. Must depend on nothing that timing changes. */
  possible?: (world: World) => boolean;
  traffic?: PhaseName;
  run: (world: World, random: Random) => Promise<void>;
}

/** Other Node binaries to upgrade to: NODE_BINARIES, with colons between the paths. */
const nodes = (process.env.NODE_BINARIES ?? '')
  .split(':')
  .filter(Boolean)
  .map((path) => ({ path, version: versionOf(path) }));

function versionOf(path: string): string {
  return execFileSync(path, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim();
}

const settings = 'fasticorn.config.json';

interface Fault {
  fault: string;
  says: RegExp;
  /** What else the config file says, so that it takes no longer than it has to. */
  changes?: Record<string, unknown>;
}

/** Faults of an app that keep it from serving, and what is said of each. */
const faults: Fault[] = [
  { fault: "throw new Error('broken on purpose');", says: /broken on purpose/ },
  { fault: 'this is no JavaScript', says: /SyntaxError|Unexpected identifier/ },
  { fault: 'process.exit(3);', says: /exited with code 3/ },
  { fault: 'await new Promise(() => {});', says: /--boot-timeout/, changes: { bootTimeout: 4 } },
  {
    fault:
      "app.addHook('onListen', async () => setTimeout(() => { throw new Error('broken when ready'); }, 100));",
    says: /did not catch|broken when ready|died/,
  },
];

/** Faults of the config file, addresses that cannot be had among them. */
const mistakes = (world: World): { text: string; says: RegExp }[] => [
  { text: '{ "workers": 2,', says: /fasticorn\.config\.json/ },
  { text: '{ "wrokers": 2 }', says: /wrokers/ },
  { text: '{ "workers": "many" }', says: /workers/ },
  {
    text: JSON.stringify({ ...world.settings, bind: [`unix:${world.socket}`, 'unix:/nonexistent/a.sock'] }),
    says: /nonexistent/,
  },
  {
    text: JSON.stringify({
      ...world.settings,
      bind: [`unix:${world.socket}`, `unix:${join(world.directory, settings)}`],
    }),
    says: /not a socket/,
  },
];

/** A fault is there while something is tried, and then everything is as it should be again. */
async function withFault(
  world: World,
  random: Random,
  attempt: (says: RegExp) => Promise<void>,
): Promise<void> {
  if (random.chance(0.5)) {
    const { text, says } = random.pick(mistakes(world));
    world.write(settings, text);
    await attempt(says);
  } else {
    const { fault, says, changes } = random.pick(faults);
    world.configure(changes);
    world.redeploy(fault);
    await attempt(says);
  }
  world.redeploy();
  world.configure();
}

/** Reloads in one of the ways there are, or in several at once, and waits until that is done. */
async function reload(world: World, random: Random): Promise<void> {
  const before = (await world.status()).generation.current;
  const ways = random.pick([
    ['HUP'],
    ['cli'],
    ['pid'],
    ['control'],
    ['HUP', 'cli', 'control'],
    ['HUP', 'HUP', 'cli'],
  ]);
  await Promise.all(
    ways.map(async (way) => {
      if (way === 'HUP') process.kill(world.pid, 'SIGHUP');
      else if (way === 'cli') assertDone(await world.cli('reload'));
      else if (way === 'pid')
        assertDone(await fasticorn(world.t, ['reload', '--pid', world.pidFile], { cwd: '/' }));
      else await order(world, '/reload');
    }),
  );
  world.wanted = world.settings.workers;
  await world.eventually('the reload to end', async () => {
    const { generation, arbiter } = await world.status();
    assert.ok(generation.current > before, 'no new generation');
    assert.deepEqual({ next: generation.next, phase: arbiter.phase }, { next: null, phase: 'serving' });
  });
}

function assertDone({ code, stderr }: { code: number | null; stderr: string }): void {
  assert.equal(code, 0, stderr);
}

async function order(world: World, path: string): Promise<void> {
  const { status, body } = await world.ask('POST', path);
  assert.equal(status, 200, `${path}: ${body}`);
}

/** Asks in one of the ways there are; a signal's effect may come later. */
async function ask(world: World, random: Random, verb: string, signal?: NodeJS.Signals): Promise<void> {
  const way = random.pick(signal ? ['signal', 'cli', 'control'] : ['cli', 'control']);
  if (way === 'signal') process.kill(world.pid, signal!);
  else if (way === 'cli') assertDone(await world.cli(...verb.split(' ')));
  else await order(world, `/${verb.split(' ').map(encodeURIComponent).join('/')}`);
}

/** The same workers serve before and after. */
async function sameCrew(world: World, during: () => Promise<void>): Promise<void> {
  const before = await world.crew();
  await during();
  await world.eventually('the same workers to serve', async () =>
    assert.deepEqual(await world.crew(), before),
  );
}

/** The worker in a slot has been replaced, and the others have not. */
async function replaced(world: World, slot: number, before: number[]): Promise<void> {
  await world.eventually(`worker ${slot} to be replaced`, async () => {
    const now = await world.crew();
    assert.equal(now.length, before.length);
    for (const [index, pid] of before.entries()) {
      if (index === slot - 1) assert.notEqual(now[index], pid);
      else assert.equal(now[index], pid);
    }
  });
}

/** The arbiter before is gone, and another one has its place. */
async function succeeded(world: World, before: number): Promise<void> {
  await world.eventually('another arbiter in the pid file', () => {
    const pid = Number(readFileSync(world.pidFile, 'utf8'));
    assert.notEqual(pid, before);
    world.pid = pid;
  });
  world.wanted = world.settings.workers;
  world.isLittered = false;
  await world.sound();
  await until(() => !isRunning(before), `the arbiter with pid ${before} to end`, 40);
}

async function upgrade(world: World, random: Random): Promise<void> {
  const before = world.pid;
  await ask(world, random, 'upgrade', 'SIGUSR2');
  await succeeded(world, before);
}

/** Waits for the process that an upgrade has started: no worker, and no `ss`. */
async function successorOf(pid: number): Promise<number> {
  let found: number | undefined;
  // Before it gives itself a title, which just forked workers have as well.
  const look = () => childrenOf(pid).find(({ title }) => title.includes('cli.js'))?.pid;
  await until(() => {
    found = look();
    return found;
  }, 'a new arbiter');
  return found!;
}

/** A moment that is different each time. */
const moment = (random: Random, most: number) => sleep(random.between(0, most));

/** A reload or an upgrade that cannot succeed, says why, and changes nothing. */
function failing(verb: 'reload' | 'upgrade'): Step['run'] {
  return (world, random) =>
    sameCrew(world, () =>
      withFault(world, random, async (says) => {
        const { code, stderr } = await world.cli(verb);
        assert.notEqual(code, 0);
        assert.match(stderr, says);
      }),
    );
}

export const steps: readonly Step[] = [
  {
    name: 'reload of new code',
    weight: 8,
    async run(world, random) {
      world.deploy();
      await reload(world, random);
    },
  },
  {
    name: 'reloads at once',
    weight: 2,
    async run(world, random) {
      world.deploy();
      assertDone(await world.cli('reload'));
      const generation = async () => (await world.status()).generation.current;
      const before = await generation();
      const count = random.between(2, 5);
      await Promise.all(Array.from({ length: count }, () => order(world, '/reload')));
      world.wanted = world.settings.workers;
      // One, and one more for those that may have been meant for newer code.
      assert.equal((await generation()) - before, 2, `generations of ${count} reloads`);
    },
  },
  {
    name: 'reload with another number of workers',
    weight: 3,
    async run(world, random) {
      world.settings.workers = random.between(1, 4);
      world.configure();
      await reload(world, random);
    },
  },
  {
    name: 'reload that fails',
    weight: 8,
    run: failing('reload'),
  },
  {
    name: 'reload to an app that dies with requests in its hands',
    weight: 1,
    traffic: 'repeatable',
    async run(world) {
      await sameCrew(world, async () => {
        world.redeploy("app.addHook('onListen', async () => setTimeout(() => process.exit(4), 100));");
        const { code, stderr } = await world.cli('reload');
        assert.notEqual(code, 0);
        assert.match(stderr, /exited with code 4/);
        world.redeploy();
      });
    },
  },
  {
    name: 'reload that adds or removes a socket',
    weight: 4,
    async run(world, random) {
      const enough = new AbortController();
      const there = world.hasSecond;
      const running = load({
        ...{ to: { socketPath: world.second }, connections: there ? 4 : 1, keepAlive: random.chance(0.5) },
        ...{ signal: enough.signal, seconds: 60, delay: 6 },
      });
      world.hasSecond = !there;
      world.configure();
      await reload(world, random);
      if (there) assert.equal(existsSync(world.second), false);
      else await world.sound();
      enough.abort();
      const { bad, good } = await running;
      assert.deepEqual(bad, [], 'on the second socket');
      assert.ok(!there || good > 0);
    },
  },
  {
    name: 'reload while the number of workers changes',
    weight: 2,
    async run(world, random) {
      const running = reload(world, random);
      await moment(random, 500);
      const wanted = random.between(1, 3);
      await order(world, `/scale/${wanted}`);
      await running;
      // Which of the two came last depends on when the config file was read.
      await order(world, `/scale/${wanted}`);
      world.wanted = wanted;
    },
  },
  {
    name: 'upgrade',
    weight: 5,
    async run(world, random) {
      world.deploy();
      await upgrade(world, random);
    },
  },
  {
    name: 'upgrade to another Node',
    weight: 3,
    possible: () => nodes.length > 0,
    async run(world, random) {
      const { path, version } = random.pick([
        ...nodes,
        { path: process.execPath, version: process.versions.node },
      ]);
      world.settings.node = path;
      world.configure();
      await reload(world, random);
      world.node = version;
      await upgrade(world, random);
    },
  },
  {
    name: 'upgrade that fails',
    weight: 5,
    run: failing('upgrade'),
  },
  {
    name: 'upgrade whose new arbiter is killed',
    weight: 2,
    async run(world, random) {
      // Never ready, so that it is killed before it can take over, whenever that is.
      world.redeploy('await new Promise(() => {});');
      await sameCrew(world, async () => {
        const running = world.cli('upgrade');
        const successor = await successorOf(world.pid);
        await moment(random, 1500);
        process.kill(successor, random.pick(['SIGKILL', 'SIGTERM']));
        assert.notEqual((await running).code, 0);
      });
      world.redeploy();
    },
  },
  {
    name: 'takeover',
    weight: 4,
    async run(world, random) {
      const before = { pid: world.pid, server: world.server };
      if (random.chance(0.5)) world.deploy();
      world.server = await world.start(['--takeover'], { early: true });
      const { pid } = world.server;
      await world.eventually('the newcomer in the pid file', () =>
        assert.equal(readFileSync(world.pidFile, 'utf8'), `${pid}\n`),
      );
      world.pid = pid;
      world.wanted = world.settings.workers;
      world.node = process.versions.node;
      world.inode = undefined;
      world.isLittered = false;
      await world.sound();
      await until(() => !isRunning(before.pid), 'the server before to end', 40);
      if (before.pid === before.server.pid)
        assert.deepEqual(await before.server.exited, { code: 0, signal: null });
    },
  },
  {
    name: 'takeover that fails',
    weight: 3,
    async run(world, random) {
      await sameCrew(world, () =>
        withFault(world, random, async () => {
          const newcomer = await world.start(['--takeover'], { early: true });
          assert.notEqual((await newcomer.exited).code, 0);
        }),
      );
    },
  },
  {
    name: 'takeover whose newcomer is killed',
    weight: 2,
    async run(world, random) {
      world.redeploy('await new Promise(() => {});');
      await sameCrew(world, async () => {
        const newcomer = await world.start(['--takeover'], { early: true });
        await moment(random, 2000);
        newcomer.kill('SIGKILL');
        await newcomer.exited;
        world.isLittered = true;
      });
      world.redeploy();
    },
  },
  {
    name: 'start of a second server on the same path',
    weight: 1,
    async run(world) {
      await sameCrew(world, async () => {
        const second = await world.start([], { early: true });
        assert.notEqual((await second.exited).code, 0);
      });
    },
  },
  {
    name: 'scale',
    weight: 6,
    async run(world, random) {
      const [verb, wanted, signal] = random.pick<[string, number, NodeJS.Signals?]>([
        ['scale +1', Math.min(5, world.wanted + 1), 'SIGTTIN'],
        ['scale -1', Math.max(1, world.wanted - 1), 'SIGTTOU'],
        [`scale 1`, 1],
        [`scale 4`, 4],
      ]);
      if (verb === 'scale +1' && world.wanted >= 5) return;
      await ask(world, random, verb, signal);
      world.wanted = wanted;
    },
  },
  {
    name: 'pause and resume',
    weight: 4,
    async run(world, random) {
      await ask(world, random, 'pause', 'SIGWINCH');
      await world.eventually('the pause', async () => {
        assert.equal((await world.ask('GET', '/readyz')).status, 503);
        assert.deepEqual(await world.crew(), []);
      });
      if (random.chance(0.3)) {
        await world.eventually('all workers to go', () =>
          assert.deepEqual(
            childrenOf(world.pid).filter(({ title }) => title.startsWith('fasticorn')),
            [],
          ),
        );
      } else await moment(random, 1500);
      const way = random.pick(['resume', 'reload', 'scale']);
      if (way === 'resume') await ask(world, random, 'resume');
      else if (way === 'reload') await reload(world, random);
      else await ask(world, random, `scale ${++world.wanted}`);
    },
  },
  {
    name: 'log rotation',
    weight: 3,
    async run(world, random) {
      const at = `${Date.now()}`;
      const moved = ['access', 'error'].map((name) => {
        const to = join(world.logs, `${name}.${at}.log`);
        renameSync(join(world.logs, `${name}.log`), to);
        return to;
      });
      await ask(world, random, 'reopen', 'SIGUSR1');
      await world.eventually('nobody to have the old files', () => {
        for (const pid of [world.pid, ...childrenOf(world.pid).map((child) => child.pid)]) {
          const held = linksOf(pid).filter((link) => moved.includes(link));
          assert.deepEqual(held, [], titleOf(pid));
        }
      });
      for (const name of ['access', 'error']) assert.ok(existsSync(join(world.logs, `${name}.log`)));
    },
  },
  {
    name: 'full disk',
    weight: 2,
    traffic: 'unlogged',
    async run(world, random) {
      const names = ['access.log', 'error.log'].map((name) => join(world.logs, name));
      for (const name of names) {
        renameSync(name, name.replace('.log', `.${Date.now()}.log`));
        symlinkSync('/dev/full', name);
      }
      const disk = () => childrenOf(world.pid).filter(({ pid }) => linksOf(pid).includes('/dev/full')).length;
      await ask(world, random, 'reopen', 'SIGUSR1');
      await world.eventually('logs on the full disk', () =>
        assert.ok(disk() >= world.wanted, 'not all of them'),
      );
      await moment(random, 2000);
      for (const name of names) unlinkSync(name);
      await ask(world, random, 'reopen', 'SIGUSR1');
      await world.eventually('logs elsewhere', () => assert.equal(disk(), 0));
    },
  },
  {
    name: 'recycling of workers by --max-requests',
    weight: 2,
    async run(world, random) {
      world.configure({ maxRequests: 150, maxRequestsJitter: 50 });
      await reload(world, random);
      const seen = new Set<number | null>();
      await world.eventually('workers to be recycled', async () => {
        const { workers, generation } = await world.status();
        const current = workers.filter(
          (one) => one.generation === generation.current && one.phase !== 'retiring',
        );
        for (const { pid } of current) seen.add(pid);
        const slots = new Set(current.filter(({ phase }) => phase === 'ready').map(({ worker }) => worker));
        if (slots.size < world.wanted) world.sightings.push(`while recycling only ${slots.size} were ready`);
        assert.ok(seen.size >= world.wanted + 3, `only ${seen.size} workers`);
      });
      world.configure();
      await reload(world, random);
    },
  },
  {
    name: 'SIGTERM to a worker',
    weight: 3,
    async run(world, random) {
      const before = await world.crew();
      const slot = random.between(1, world.wanted);
      process.kill(before[slot - 1]!, 'SIGTERM');
      await replaced(world, slot, before);
    },
  },
  {
    name: 'signals to workers that mean nothing to them',
    weight: 2,
    async run(world, random) {
      await sameCrew(world, async () => {
        for (const pid of await world.crew())
          process.kill(pid, random.pick(['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGUSR2', 'SIGTTIN', 'SIGTTOU']));
      });
    },
  },
  {
    name: 'SIGKILL to workers',
    weight: 4,
    traffic: 'repeatable',
    async run(world, random) {
      const before = await world.crew();
      const first = random.between(0, world.wanted - 1);
      const killed = before.slice(first, first + random.between(1, world.wanted));
      for (const pid of killed) process.kill(pid, 'SIGKILL');
      await world.eventually('the killed workers to be replaced, and no others', async () => {
        const now = await world.crew();
        assert.equal(now.length, before.length);
        assert.deepEqual(
          before.filter((pid) => !now.includes(pid)),
          killed,
        );
      });
    },
  },
  {
    name: 'a blocked event loop',
    weight: 3,
    async run(world, random) {
      await sameCrew(world, async () => {
        const ms = random.between(200, 2500);
        const answers = Array.from({ length: random.between(1, 2) }, () =>
          world.ask('GET', `/block?ms=${ms}`, world.socket),
        );
        for (const { body } of await Promise.all(answers)) assert.equal(body, 'blocked');
      });
    },
  },
  {
    name: 'a stuck worker',
    weight: 1,
    traffic: 'repeatable',
    async run(world) {
      const before = await world.crew();
      await assert.rejects(world.ask('GET', '/spin', world.socket));
      await world.eventually('the stuck worker to be replaced', async () => {
        const now = await world.crew();
        assert.equal(now.length, before.length);
        assert.equal(before.filter((pid) => !now.includes(pid)).length, 1);
      });
    },
  },
  {
    name: 'an arbiter that is stopped for a while',
    weight: 2,
    async run(world, random) {
      await sameCrew(world, async () => {
        process.kill(world.pid, 'SIGSTOP');
        await moment(random, 3000);
        process.kill(world.pid, 'SIGCONT');
      });
    },
  },
  {
    name: 'the name of the socket is deleted',
    weight: 2,
    traffic: 'nameless',
    async run(world) {
      world.mayBeAbsent = true;
      unlinkSync(world.socket);
      await until(() => existsSync(world.socket), 'the name to be back');
      world.mayBeAbsent = false;
    },
  },
  {
    name: 'the name of the control socket is deleted',
    weight: 1,
    async run(world) {
      unlinkSync(world.control);
      await until(() => existsSync(world.control), 'the name to be back');
    },
  },
  {
    name: 'the hidden names are deleted',
    weight: 2,
    async run(world) {
      const directory = dirname(world.socket);
      const hidden = () => readdirSync(directory).filter((name) => /^\..*\.[0-9a-f]{8}$/.test(name));
      for (const name of hidden()) rmSync(join(directory, name));
      await until(() => hidden().length >= 2 + (world.hasSecond ? 1 : 0), 'hidden names');
    },
  },
  {
    name: 'wrong orders',
    weight: 2,
    async run(world) {
      await sameCrew(world, async () => {
        const wrong: ['GET' | 'POST', string, number][] = [
          ['GET', '/reload', 405],
          ['POST', '/scale', 400],
          ['POST', '/scale/many', 400],
          ['POST', '/reload/twice', 400],
          ['POST', '/nothing', 404],
          ['POST', '/%', 400],
          ['POST', '/yield/done', 409],
        ];
        for (const [method, path, code] of wrong)
          assert.equal((await world.ask(method, path)).status, code, path);
        for (const text of ['\0\r\n\r\n', 'POST /reload HTTP/1.1\r\nContent-Length: 5\r\n\r\n', '']) {
          const socket = connect(world.control);
          socket.on('error', () => {});
          await once(socket, 'connect');
          socket.write(text);
          socket.destroy();
        }
        assert.notEqual((await world.cli('scale', 'many')).code, 0);
      });
    },
  },
  {
    name: 'the arbiter is killed, and another one started',
    weight: 2,
    traffic: 'nameless',
    async run(world) {
      world.mayBeAbsent = true;
      process.kill(world.pid, 'SIGKILL');
      await until(() => !isRunning(world.pid), 'the arbiter to be gone');
      await until(() => world.processes().length === 0, 'its workers to end', 40);
      await world.begin();
      world.mayBeAbsent = false;
    },
  },
  {
    name: 'the server is stopped, and another one started',
    weight: 1,
    traffic: 'nameless',
    async run(world, random) {
      world.mayBeAbsent = true;
      await ask(world, random, 'stop', 'SIGTERM');
      await world.gone();
      await world.begin();
      world.mayBeAbsent = false;
    },
  },
  {
    name: 'the server is stopped during an upgrade, and another one started',
    weight: 1,
    traffic: 'nameless',
    async run(world, random) {
      world.mayBeAbsent = true;
      // So that it cannot take over before.
      world.redeploy('await new Promise(() => {});');
      process.kill(world.pid, 'SIGUSR2');
      await successorOf(world.pid);
      await moment(random, 1000);
      await ask(world, random, 'stop', 'SIGTERM');
      await world.gone();
      world.redeploy();
      await world.begin();
      world.mayBeAbsent = false;
    },
  },
  {
    name: 'the old arbiter is killed during an upgrade',
    weight: 1,
    traffic: 'nameless',
    async run(world, random) {
      const before = world.pid;
      world.mayBeAbsent = true;
      process.kill(before, 'SIGUSR2');
      await successorOf(before);
      await moment(random, 800);
      process.kill(before, 'SIGKILL');
      // If the names went before the new arbiter had its own, it has to bind anew.
      world.inode = undefined;
      await succeeded(world, before);
      world.mayBeAbsent = false;
    },
  },
];
