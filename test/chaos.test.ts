/**
 * Everything that can be asked of a server or happen to it, in random order and under load, with the design's
 * invariants asserted after every step. SEED repeats a run; CHAOS_SECONDS says how long it goes on, CHAOS_STEPS what
 * is done, over and over, in place of chance (names with semicolons between them), NODE_BINARIES which other Nodes there
 * are to upgrade to, NGINX_BINARIES which other nginx to try (both with colons between the paths).
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { describe, it, type TestContext } from 'node:test';
import { type Step, steps } from './support/chaos-steps.ts';
import { Traffic } from './support/chaos-traffic.ts';
import { World } from './support/chaos-world.ts';
import { need } from './support/need.ts';
import { startNginx } from './support/nginx.ts';
import { Random } from './support/random.ts';

const SEED = process.env.SEED ?? randomBytes(4).toString('hex');
const SECONDS = Number(process.env.CHAOS_SECONDS ?? 25);
const CONNECTIONS = Number(process.env.CHAOS_CONNECTIONS ?? 8);
const SCRIPT = process.env.CHAOS_STEPS?.split(';').map((name) => {
  const step = steps.find((one) => one.name === name);
  if (!step)
    throw new Error(
      `CHAOS_STEPS: there is no step "${name}"; there are: ${steps.map((one) => one.name).join('; ')}`,
    );
  return step;
});
/** So many steps may leave their traces until everything has to be at rest. */
const RESTLESS = 4;

type Command = readonly [string, ...string[]];

/** Takes steps for so long as it was told, and stops the server under load. */
async function chaos(t: TestContext, command: Command): Promise<void> {
  t.diagnostic(`SEED=${SEED} repeats this run (CHAOS_SECONDS=${SECONDS})`);
  const began = Date.now();
  const clock = () => `${((Date.now() - began) / 1000).toFixed(1)} s`;
  const taken: string[] = [];
  const lost: string[] = [];
  const world = new World(t);
  try {
    await world.begin();
    const nginx = {
      'nginx, pooled connections': await startNginx({ socket: world.socket, command }),
      'nginx, a connection per request': await startNginx({
        socket: world.socket,
        connection: 'close',
        command,
      }),
    };
    for (const one of Object.values(nginx)) t.after(() => one.stop());
    world.traffic = new Traffic({
      ...{ socket: world.socket, nginx, logs: world.logs, connections: CONNECTIONS, seconds: SECONDS + 300 },
      onLost: (problem) => lost.push(`${clock()}: ${problem}`),
    });
    world.watch();
    await world.atRest();
    const random = new Random(SEED);
    for (let index = 0; Date.now() - began < SECONDS * 1000; index++) {
      const step = next(world, random, index);
      const start = clock();
      taken.push(`${start} to …: ${step.name}`);
      await world.traffic.become(step.traffic ?? 'everything');
      await step.run(world, new Random(`${SEED} ${index}`));
      await world.sound();
      if (index % RESTLESS === RESTLESS - 1) {
        await world.atRest();
        await world.traffic.end();
      }
      taken[taken.length - 1] = `${start} to ${clock()}: ${step.name}`;
      assert.deepEqual(lost, [], 'lost requests');
    }
    await world.traffic.become('everything');
    await world.atRest();
    await stopUnderLoad(world);
    assert.deepEqual(lost, [], 'lost requests');
  } catch (error) {
    t.diagnostic(
      `SEED=${SEED}\n${taken.join('\n')}\nlost: ${lost.slice(0, 20).join('\n')}\n${world.lastLines(60)}`,
    );
    await world.traffic?.end().catch(() => {});
    throw error;
  }
  t.diagnostic(`${taken.length} steps: ${tally(taken)}`);
  for (const [lane, { sent, refused, lost }] of Object.entries(world.traffic.totals))
    t.diagnostic(`${lane}: ${sent} requests sent, ${refused} found no name, ${lost} lost`);
  assert.ok(world.traffic.good > 100, `only ${world.traffic.good} requests`);
}

function next(world: World, random: Random, index: number): Step {
  if (SCRIPT) return SCRIPT[index % SCRIPT.length]!;
  return random.weighted(steps.filter(({ possible }) => possible?.(world) ?? true));
}

/** Every request that got in is answered; then nothing is left. */
async function stopUnderLoad(world: World): Promise<void> {
  await world.traffic.become('nameless');
  const { good } = world.traffic;
  assert.ok(good > 0);
  world.mayBeAbsent = true;
  process.kill(world.pid, 'SIGTERM');
  await world.gone();
  await world.traffic.end();
}

/** How often each step was taken. */
function tally(taken: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const line of taken) {
    const name = line.slice(line.indexOf(': ') + 2);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => `${count} × ${name}`).join(', ');
}

describe('whatever is done to a server behind nginx', need('nginx'), () => {
  it('no request is lost, and everything is in order after each step', (t) => chaos(t, ['nginx']));
});

for (const binary of (process.env.NGINX_BINARIES ?? '').split(':').filter(Boolean)) {
  describe(`whatever is done to a server behind ${binary}`, () => {
    it('no request is lost, and everything is in order after each step', (t) => chaos(t, [binary]));
  });
}

describe('whatever is done to a server behind nginx 1.30 in a container', need('docker'), () => {
  const mount = `${tmpdir()}:${tmpdir()}`;
  const command: Command = ['docker', 'run', '--rm', '--network', 'host', '-v', mount, 'nginx:1.30', 'nginx'];
  it('no request is lost, and everything is in order after each step', (t) => chaos(t, command));
});
