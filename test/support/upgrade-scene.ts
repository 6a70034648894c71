/**
 * A server that is going to be upgraded: an app whose next instances do what the test says, and everything that may
 * be left behind, counted.
 */
import assert from 'node:assert/strict';
import { lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Outcome } from './command.ts';
import { Lineage } from './lineage.ts';
import { app, type Server, type ServerOptions, until } from './server.ts';
import { Site } from './site.ts';

/** A running server, and how to follow it from arbiter to arbiter. */
export interface Scene {
  site: Site;
  server: Server;
  lineage: Lineage;
  /** The path of the pid file. */
  pidFile: string;
  /** What the app does when it is loaded the next time: see test/apps/upgrade-trouble.mjs. */
  say(trouble: string): void;
  /** Removes what the app has left beside that file. */
  tidy(): void;
  /** The arbiter that answers on the control socket. */
  arbiter(): Promise<number>;
  /** Waits until another arbiter serves, and everybody before it has gone; returns its pid. */
  replaced(before: number): Promise<number>;
}

/** Starts a server of two workers with a pid file in a directory of its own. */
export async function begin(
  t: TestContext,
  args: string[] = [],
  options: ServerOptions = {},
): Promise<Scene> {
  const lineage = new Lineage(t);
  const site = new Site(t);
  const trouble = join(site.directory, 'trouble');
  const pidFile = join(site.directory, 'app.pid');
  const say = (what: string) => writeFileSync(trouble, what);
  const tidy = () => {
    for (const left of ['first', 'second', 'over'])
      rmSync(`${trouble}.${left}`, { recursive: true, force: true });
  };
  say('');
  site.write('app.mjs', `export { default } from ${JSON.stringify(app('upgrade-trouble.mjs'))};`);
  const server = await site.start(['--pid', pidFile, ...args], {
    ...options,
    env: { ...lineage.env, TROUBLE: trouble, ...options.env },
  });
  const arbiter = async () => (await site.status()).arbiter.pid;
  const replaced = async (before: number) => {
    await until(async () => (await arbiter().catch(() => before)) !== before, 'another arbiter');
    const pid = await arbiter();
    await until(() => lineage.arbiters().every((one) => one.pid === pid), 'the old arbiter to be gone');
    await until(async () => (await site.ready()).length === (await site.status()).wanted, 'all workers');
    return pid;
  };
  return { site, server, lineage, pidFile, say, tidy, arbiter, replaced };
}

/** Everything that an upgrade which fails must leave as it was. */
export async function footprint({ site, lineage, pidFile, arbiter }: Scene) {
  const pid = await arbiter();
  const files = [site.socket, site.control, pidFile];
  return {
    pid,
    workers: (await site.ready()).sort(),
    version: await site.version(),
    pids: lineage.members().map((one) => one.pid),
    descriptors: await descriptorsOf(lineage, pid),
    zombies: lineage.zombies(),
    names: readdirSync(site.directory).sort(),
    inodes: files.map((path) => lstatSync(path).ino),
    pidFile: readFileSync(pidFile, 'utf8'),
  };
}

/** The fewest in a while: connections to the control socket come and go. */
export async function descriptorsOf(lineage: Lineage, pid: number): Promise<number> {
  let fewest = Number.POSITIVE_INFINITY;
  for (let looks = 0; looks < 10; looks++) {
    fewest = Math.min(fewest, lineage.members().find((one) => one.pid === pid)?.descriptors ?? Infinity);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return fewest;
}

/** Waits until everything is as it was. */
export async function unharmed(scene: Scene, before: object): Promise<void> {
  const isSame = async () => {
    try {
      assert.deepEqual(await footprint(scene), before);
      return true;
    } catch {
      return false;
    }
  };
  await until(isSame, 'everything to be as it was', 15).catch(async () => {
    assert.deepEqual(await footprint(scene), before);
  });
}

/** The command has said that another arbiter serves. */
export function succeeded({ code, stdout, stderr }: Outcome): void {
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^the arbiter with pid \d+ serves\n$/);
}

/** The command has said why not. */
export function failed({ code, stdout, stderr }: Outcome, reason: RegExp): void {
  assert.equal(code, 1, stdout);
  assert.match(stderr, reason);
}
