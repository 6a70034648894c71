/**
 * What the control socket tells of a state.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Setup } from '../src/arbiter/crew.ts';
import { healthOf, type Reported, statusOf } from '../src/arbiter/report.ts';
import * as state from '../src/arbiter/state.ts';
import type { WorkerHandle } from '../src/arbiter/worker-handle.ts';
import { Simulation } from './support/simulation.ts';

const setup = {
  ...{ number: 1, app: 'app.js', listeners: [{ address: { kind: 'unix', path: '/tmp/a.sock' }, fd: -1 }] },
} as unknown as Setup;

const report = (server: Simulation, facts: Partial<Reported> = {}) =>
  statusOf({
    ...{ state: server.state, setup, settings: {}, handleOf: () => undefined, exits: [] },
    ...{ version: '1.2.3', startedAt: performance.now() - 5_000, isUpgrading: false },
    ...facts,
  });

/** A server with one worker and a reload that has started another. */
function reloading(): Simulation {
  const server = Simulation.serving(1);
  server.reload(3);
  server.settle();
  return server;
}

describe('The health', () => {
  const said = ({ state }: Simulation): string => {
    const { healthy, ready, reason } = healthOf(state);
    return [healthy && 'healthy', ready && 'ready', reason].filter(Boolean).join(', ');
  };

  it('is good while one worker is ready, whatever the others do', () => {
    const server = Simulation.serving(2);
    server.exit(1);
    server.settle();
    assert.equal(said(server), 'healthy, ready');
  });

  it('is bad before the first worker is ready, and when none is left', () => {
    const server = new Simulation(1);
    server.settle();
    assert.equal(said(server), 'no worker is ready');
    server.ready(1);
    server.settle();
    assert.equal(said(server), 'healthy, ready');
    server.exit(1);
    server.settle();
    assert.equal(said(server), 'no worker is ready');
  });

  it('does not count a worker that is stuck, or on its way out', () => {
    const stuck = Simulation.serving(1);
    stuck.state = state.killed(stuck.state, 1, 'stuck');
    assert.equal(said(stuck), 'no worker is ready');
    const broken = Simulation.serving(1);
    broken.break(1);
    assert.equal(said(broken), 'no worker is ready');
  });

  it('does not count the workers of a generation on trial', () => {
    const server = reloading();
    server.readyAll();
    server.exit(1);
    assert.equal(said(server), 'no worker is ready');
  });

  it('wants no traffic during a pause or a stop, and says which it is', () => {
    const paused = Simulation.serving(1);
    paused.pause();
    paused.settle();
    assert.equal(said(paused), 'paused');
    const stopping = Simulation.serving(1);
    stopping.end('graceful');
    assert.equal(said(stopping), 'healthy, stopping');
  });
});

describe('The phase', () => {
  const phase = async (server: Simulation, facts: Partial<Reported> = {}) =>
    (await report(server, facts)).arbiter.phase;

  it('is starting until the sockets are reachable, then serving', async () => {
    const server = new Simulation(1);
    server.publishing = 'pending';
    server.settle();
    server.ready(1);
    server.settle();
    assert.equal(await phase(server), 'starting');
    server.published();
    assert.equal(await phase(server), 'serving');
  });

  it('is reloading while a generation is on trial, also during a pause', async () => {
    assert.equal(await phase(reloading()), 'reloading');
    const server = Simulation.serving(1);
    server.pause();
    assert.equal(await phase(server), 'paused');
    server.reload(1);
    assert.equal(await phase(server), 'reloading');
  });

  it('is upgrading while a new arbiter is on trial, and stopping whatever else is under way', async () => {
    const server = reloading();
    assert.equal(await phase(server, { isUpgrading: true }), 'upgrading');
    server.end('graceful');
    assert.equal(await phase(server, { isUpgrading: true }), 'stopping');
  });
});

describe('The status', () => {
  it('tells of the arbiter', async () => {
    const { arbiter } = await report(Simulation.serving(1));
    assert.deepEqual(
      [arbiter.pid, arbiter.app, arbiter.version, arbiter.node, Math.round(arbiter.uptime)],
      [process.pid, 'app.js', '1.2.3', process.versions.node, 5],
    );
    assert.ok(arbiter.rss > 1_000_000);
  });

  it('tells which generation serves, which is on trial, and how many workers are wanted now', async () => {
    const server = Simulation.serving(1);
    assert.deepEqual((await report(server)).generation, { current: 1, next: null });
    server.reload(3);
    const { generation, wanted } = await report(server);
    assert.deepEqual([generation, wanted], [{ current: 1, next: 2 }, 1]);
  });

  it('tells of every worker with the numbers of its last beat, and of one without a process', async () => {
    const beat = { requests: 7, inFlight: 1, connections: 2, rss: 3, heap: 4, utilization: 0.5, delay: 6 };
    const handle = { pid: 4711, beat } as WorkerHandle;
    // Its clock began with this process.
    const server = new Simulation(2);
    server.settle();
    server.ready(1);
    server.state = state.ticked(server.state, 4000);
    const before = performance.now() / 1000;
    const { workers } = await report(server, { handleOf: (id) => (id === 1 ? handle : undefined) });
    assert.deepEqual(
      workers.map(({ age, ...others }) => ({ ...others, isOld: age > before })),
      [
        { worker: 1, generation: 1, pid: 4711, phase: 'ready', isOld: true, silent: 4, ...beat },
        { worker: 2, generation: 1, pid: null, phase: 'booting', isOld: true },
      ],
    );
  });

  it('calls a worker stuck when it is killed for that, and for nothing else', async () => {
    const server = Simulation.serving(2);
    server.state = state.killed(server.state, 1, 'stuck');
    server.state = state.killed(server.state, 2, 'the server is ending');
    assert.deepEqual(
      (await report(server)).workers.map(({ phase }) => phase),
      ['stuck', 'ready'],
    );
  });

  it('tells of each socket, also where the system does not tell its queue', async () => {
    const { sockets } = await report(Simulation.serving(1));
    assert.deepEqual(sockets, [{ address: 'unix:/tmp/a.sock', queue: null, limit: null }]);
  });

  it('is data that stays as it was', async () => {
    const exits = [{ time: '', worker: 1, generation: 1, pid: 1, reason: 'died' }];
    const status = await report(Simulation.serving(1), { exits });
    exits.pop();
    assert.equal(status.exits.length, 1);
  });
});
