/**
 * The world of the chaos suite: a deployed app, the servers that serve it one after the other, and what is known of
 * how everything has to be at this moment. Knows how to look; what is done to it is in `chaos-steps.ts`.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Status } from '../../src/status.ts';
import type { Traffic } from './chaos-traffic.ts';
import { fasticorn, type Outcome } from './command.ts';
import { type Answer, fetchFrom } from './http.ts';
import { childrenOf, descriptorsOf, processesWith } from './processes.ts';
import { app, isRunning, type Server, startServer, temporaryDirectory, until } from './server.ts';

/** How the app says who answers. */
export interface Who {
  pid: number;
  /** Of the arbiter. */
  ppid: number;
  version: number;
}

/** What the config file says; the app's own is not in it. */
export interface Settings {
  workers: number;
  [key: string]: unknown;
}

/** How long anything may take to become as it has to be, in seconds. */
const PATIENCE = 40;
/** How often it is looked whether something has become so, in milliseconds; each look costs the server some work. */
const POLL = 100;
/** How often names are looked at while steps are taken, in milliseconds. */
const LOOK = 25;

export class World {
  readonly t: TestContext;
  readonly directory: string;
  readonly socket: string;
  /** A second socket, which reloads add and remove. */
  readonly second: string;
  readonly control: string;
  readonly pidFile: string;
  readonly logs: string;
  traffic!: Traffic;

  /** The process id of the arbiter that is to serve. */
  pid = 0;
  /** The server that the test has started last; after an upgrade another process serves. */
  server!: Server;
  /** How many workers there are to be. */
  wanted = 2;
  /** The config file as it should be. */
  settings: Settings;
  /** What the app that was deployed last answers. */
  version = 0;
  hasSecond = false;
  /** The Node that the arbiter is to run on. */
  node = process.versions.node;
  /** The public socket's, as long as nobody takes over; found out when it is not set. */
  inode: number | undefined;
  /** Whether a newcomer was killed, of which nobody knew: its hidden names are removed by the next server to publish. */
  isLittered = false;
  /** What was seen to be wrong between the steps' own looks. */
  readonly sightings: string[] = [];
  /** Set while a step may leave the name, or the pid file, absent for a moment. */
  mayBeAbsent = false;
  /** The variable that every process of ours can be known by. */
  readonly #marker = `FASTICORN_CHAOS=${randomBytes(6).toString('hex')}`;
  /** The descriptors of each arbiter when it was first at rest. */
  readonly #descriptors = new Map<number, Record<string, number>>();
  #watching = true;

  constructor(t: TestContext) {
    this.t = t;
    // Before the directory goes.
    t.after(() => this.cleanUp());
    this.directory = temporaryDirectory(t);
    const run = join(this.directory, 'run');
    this.logs = join(this.directory, 'logs');
    for (const path of [run, this.logs]) mkdirSync(path);
    chmodSync(run, 0o755);
    this.socket = join(run, 'app.sock');
    this.second = join(run, 'second.sock');
    this.control = `${this.socket}.ctl`;
    this.pidFile = join(run, 'app.pid');
    this.settings = {
      ...{ workers: 2, timeout: 8, pid: this.pidFile },
      ...{ accessLogfile: join(this.logs, 'access.log'), errorLogfile: join(this.logs, 'error.log') },
    };
    this.configure();
    this.deploy();
  }

  /** Writes the config file: as it should be, or with something else in it. */
  configure(changes: Record<string, unknown> = {}): void {
    const bind = [`unix:${this.socket}`, ...(this.hasSecond ? [`unix:${this.second}`] : [])];
    this.write('fasticorn.config.json', JSON.stringify({ bind, ...this.settings, ...changes }));
  }

  /** Writes a file of the site. */
  write(name: string, text: string): void {
    writeFileSync(join(this.directory, name), text);
  }

  /** Writes a new version of the app. */
  deploy(): void {
    this.version++;
    this.redeploy();
  }

  /** Writes the app as it should be, or with a fault. */
  redeploy(fault = ''): void {
    this.write(
      'app.mjs',
      `import echo from ${JSON.stringify(app('echo.mjs'))};
      export default async function chaos(app) {
        ${fault}
        await echo(app);
        app.get('/who', async () => ({ pid: process.pid, ppid: process.ppid, version: ${this.version} }));
        app.get('/block', async ({ query: { ms } }) => {
          for (const end = performance.now() + Number(ms); performance.now() < end; );
          return 'blocked';
        });
        app.get('/spin', () => { for (;;); });
      }`,
    );
  }

  /** Starts a server in the site. */
  async start(args: readonly string[] = [], { early = false } = {}): Promise<Server> {
    const output = openSync(join(this.logs, 'output.log'), 'a');
    const [name, value] = this.#marker.split('=') as [string, string];
    const options = { cwd: this.directory, unbound: true, early, socket: this.socket };
    return startServer(this.t, './app.mjs', [...args], {
      ...options,
      env: { [name]: value, WEB_CONCURRENCY: '' },
      stdio: ['ignore', output, output],
    });
  }

  /** Starts the first server, or one after all others are gone. */
  async begin(): Promise<void> {
    this.server = await this.start();
    this.pid = this.server.pid;
    this.wanted = this.settings.workers;
    this.node = process.versions.node;
    await until(() => existsSync(this.socket), 'the socket', PATIENCE);
    this.inode = undefined;
    this.isLittered = false;
    await this.sound();
  }

  /** `fasticorn VERB` */
  cli(...args: string[]): Promise<Outcome> {
    return fasticorn(this.t, [...args, '--control-socket', this.control], { cwd: '/' });
  }

  /** Asks the control socket. */
  async ask(method: 'GET' | 'POST', path: string, socketPath = this.control): Promise<Answer> {
    return fetchFrom({ socketPath }, path, { method, signal: AbortSignal.timeout(PATIENCE * 1000) });
  }

  async status(): Promise<Status> {
    return (await this.ask('GET', '/status')).json<Status>();
  }

  /** Who answers on a new connection. */
  async who(socketPath = this.socket): Promise<Who> {
    return (await this.ask('GET', '/who', socketPath)).json<Who & Record<string, unknown>>();
  }

  /** The ready workers of the generation that serves, by their slot. */
  async crew(): Promise<number[]> {
    const { workers, generation } = await this.status();
    return workers
      .filter(({ phase, generation: own }) => phase === 'ready' && own === generation.current)
      .sort((a, b) => a.worker - b.worker)
      .map(({ pid }) => pid!);
  }

  /** Waits until a look does not throw any more; if that is in vain, throws what it threw last. */
  async eventually(what: string, look: () => Promise<void> | void): Promise<void> {
    const deadline = Date.now() + PATIENCE * 1000;
    for (;;) {
      try {
        return await look();
      } catch (error) {
        if (Date.now() > deadline)
          throw new Error(`waited ${PATIENCE} s in vain for ${what}: ${(error as Error).message}`);
      }
      await sleep(POLL);
    }
  }

  /** One server has the path and serves with as many workers as there are to be; what retires may still be there. */
  async sound(): Promise<void> {
    await this.eventually('the server to serve', async () => {
      const { arbiter, wanted, generation, workers } = await this.status();
      const { pid, phase, node } = arbiter;
      const slots = workers.filter((one) => one.phase === 'ready' && one.generation === generation.current);
      assert.deepEqual(
        { pid, phase, node, wanted, next: generation.next, slots: slots.map(({ worker }) => worker).sort() },
        {
          ...{ pid: this.pid, phase: 'serving', node: this.node, wanted: this.wanted, next: null },
          slots: Array.from({ length: this.wanted }, (_, index) => index + 1),
        },
      );
      const titles = childrenOf(this.pid).map(({ title }) => title);
      const current = titles.filter((title) => title.endsWith(` gen ${generation.current}`));
      assert.ok(current.length >= this.wanted, `processes: ${titles.join(', ')}`);
    });
    await this.eventually('new connections to reach the newest app', async () => {
      for (const path of [this.socket, ...(this.hasSecond ? [this.second] : [])]) {
        for (let i = 0; i < 2; i++) {
          const { ppid, version } = await this.who(path);
          assert.deepEqual({ ppid, version }, { ppid: this.pid, version: this.version });
        }
      }
    });
    const { ino } = lstatSync(this.socket);
    this.inode ??= ino;
    assert.equal(ino, this.inode, 'the inode of the path');
    assert.equal(readFileSync(this.pidFile, 'utf8'), `${this.pid}\n`);
    for (const page of ['/healthz', '/readyz']) assert.equal((await this.ask('GET', page)).status, 200, page);
    this.assertNothingSeen();
  }

  /** The same, and nothing else is there any more: no process, name, file or descriptor. */
  async atRest(): Promise<void> {
    await this.sound();
    await this.eventually('everything that retires to be gone', async () => {
      const { workers } = await this.status();
      const children = childrenOf(this.pid).filter(({ title }) => !title.startsWith('ss '));
      assert.deepEqual(
        children.filter(({ isZombie }) => isZombie),
        [],
        'zombies',
      );
      const pids = children.map(({ pid }) => pid).sort();
      assert.deepEqual(workers.map(({ pid }) => pid).sort(), pids);
      assert.equal(pids.length, this.wanted, 'workers');
      assert.deepEqual(this.processes().sort(), [...pids, this.pid].sort(), 'processes');
    });
    await this.eventually('no leftover names', () => {
      const sockets = [this.socket, this.control, ...(this.hasSecond ? [this.second] : [])].map((path) =>
        basename(path),
      );
      const expected = [basename(this.pidFile), ...sockets, ...sockets.map((name) => `.${name}.*`)];
      const names = this.#names();
      assert.deepEqual(this.isLittered ? [...new Set(names)] : names, expected.sort());
    });
    await this.eventually('no descriptor too many', () => {
      const now = this.#descriptorsAtRest();
      const before = this.#descriptors.get(this.pid) ?? now;
      this.#descriptors.set(this.pid, before);
      assert.deepEqual(now, before);
    });
    this.assertNothingSeen();
  }

  /** Of the arbiter, without those that depend on how many workers and sockets it has. */
  #descriptorsAtRest(): Record<string, number> {
    const counts = descriptorsOf(this.pid);
    counts.socket = (counts.socket ?? 0) - this.wanted - (this.hasSecond ? 1 : 0);
    return counts;
  }

  /** Everything is gone: processes, names, files. */
  async gone(): Promise<void> {
    await this.eventually('all processes to be gone', () => assert.deepEqual(this.processes(), []));
    const names = this.#names();
    assert.deepEqual(this.isLittered ? names.filter((name) => !name.startsWith('.')) : names, []);
  }

  /** The names beside the socket, hidden ones without what chance has added. */
  #names(): string[] {
    const names = readdirSync(dirname(this.socket));
    return names.map((name) => name.replace(/\.[0-9a-f]{8}$/, '.*')).sort();
  }

  /** Every process of ours that runs. */
  processes(): number[] {
    return processesWith(this.#marker).filter(isRunning);
  }

  /** Looks all the time, until the test ends: the name is a socket, the pid file names a server, never three serve. */
  watch(): void {
    const see = (what: string) => {
      if (this.sightings.length < 20 && !this.sightings.includes(what)) this.sightings.push(what);
    };
    const look = () => {
      if (this.mayBeAbsent) return;
      if (!lstatSync(this.socket, { throwIfNoEntry: false })?.isSocket()) see('the path was no socket');
      let text = '';
      try {
        text = readFileSync(this.pidFile, 'utf8');
      } catch {}
      if (!/^\d+\n$/.test(text) || !isRunning(Number(text)))
        see(`the pid file was wrong: ${JSON.stringify(text)}`);
    };
    const timer = setInterval(look, LOOK);
    this.t.after(() => {
      this.#watching = false;
      clearInterval(timer);
    });
    void this.#watchGenerations(see);
  }

  async #watchGenerations(see: (what: string) => void): Promise<void> {
    while (this.#watching) {
      await sleep(4 * POLL);
      const found = await this.status().catch(() => undefined);
      const serving = found?.workers.filter(({ phase }) => phase !== 'retiring');
      const generations = new Set(serving?.map(({ generation }) => generation));
      if (generations.size > 2) see(`generations that do not retire: ${[...generations].join(', ')}`);
    }
  }

  assertNothingSeen(): void {
    assert.deepEqual(this.sightings, [], 'seen in between');
  }

  /** The end of the error log, for when a run fails. */
  lastLines(count: number): string {
    const of = (name: string) => {
      const path = join(this.logs, name);
      return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n').slice(-count) : [];
    };
    return [...of('error.log'), ...of('output.log')].join('\n');
  }

  cleanUp(): void {
    this.#watching = false;
    for (let round = 0; round < 3; round++) {
      for (const pid of this.processes()) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {}
      }
    }
  }
}
