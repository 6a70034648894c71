/**
 * The policy, without processes: events edit a state, and the plan says what follows.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PROBATION } from '../src/arbiter/limits.ts';
import { plan, QUICK_LIMIT } from '../src/arbiter/plan.ts';
import * as state from '../src/arbiter/state.ts';
import { limits, Simulation } from './support/simulation.ts';

/** A server with two workers, 1 and 2, and a reload that has started workers 3 and 4. */
function reloading(own: Partial<state.Limits> = {}): Simulation {
  const server = Simulation.serving(2, own);
  server.reload(2, own);
  server.settle();
  return server;
}

/** The slots that have workers that were not told to go, of any generation. */
const staffed = ({ state: { workers } }: Simulation): number[] =>
  workers.filter(({ phase }) => phase !== 'retiring').map(({ slot }) => slot);

const HOPELESS = { hopeless: true, reason: 'the app throws' };

describe('Starting', () => {
  it('spawns a worker for every slot at once', () => {
    assert.deepEqual(new Simulation(3).settle(), ['spawn 1/1', 'spawn 1/2', 'spawn 1/3']);
  });

  it('ends with the reason of the first worker that fails before any was ready', () => {
    const server = new Simulation(2);
    server.settle();
    server.exit(1, { exitCode: 4 });
    assert.deepEqual(server.settle(), ['kill 2 (the server is ending)']);
    server.exit(2, { exitCode: 3 });
    assert.deepEqual(server.settle(), ['exit 4']);
  });

  it('waits for a reload instead if it is to be patient, and serves what that brings', () => {
    const server = new Simulation(1, { patient: true, probation: 0 });
    server.settle();
    server.exit(1, HOPELESS);
    assert.deepEqual(server.settle(), []);
    assert.deepEqual(plan(server.state, server.now).wakeAt, undefined);
    server.reload(1, { probation: 0 });
    assert.deepEqual(server.settle(), ['spawn 2/1']);
    server.exit(2, HOPELESS);
    assert.deepEqual(server.settle(), ['roll back (the app throws)']);
    server.reload(1, { probation: 0 });
    assert.deepEqual(server.settle(), ['spawn 3/1']);
    server.readyAll();
    assert.deepEqual(server.settle(), ['publish']);
  });

  it('is never patient where another server still serves', () => {
    const server = new Simulation(1, { patient: true, onTrial: true });
    server.settle();
    server.exit(1, HOPELESS);
    server.settle();
    assert.equal(server.state.ending?.how, 'handover');
  });

  it('kills a worker that is not ready in time, which fails the start', () => {
    const server = new Simulation(1);
    server.settle();
    assert.equal(server.sleep(), limits.bootTimeout);
    assert.deepEqual(server.settle(), ['kill 1 (boot timeout)']);
    server.exit(1);
    assert.deepEqual(server.settle(), ['exit 3']);
  });

  it('hears no worker out that says it is ready when it is being killed', () => {
    const server = new Simulation(1);
    server.settle();
    server.sleep();
    server.settle();
    server.ready(1);
    assert.deepEqual(server.settle(), []);
    server.exit(1);
    assert.deepEqual(server.settle(), ['exit 3']);
  });

  it('blames no worker for the time in which the arbiter itself was stopped', () => {
    const server = new Simulation(1);
    server.settle();
    server.now += 10 * limits.bootTimeout;
    server.state = state.ticked(server.state, 1_000);
    assert.deepEqual(server.settle(), []);
    server.pass(limits.bootTimeout);
    assert.deepEqual(server.settle(), ['kill 1 (boot timeout)']);
  });

  it('goes on if one worker fails after another was ready', () => {
    const server = new Simulation(2);
    server.settle();
    server.ready(1);
    server.settle();
    server.exit(2, HOPELESS);
    server.sleep();
    assert.deepEqual(server.settle(), ['spawn 1/2']);
  });
});

describe('The socket', () => {
  it('is made reachable once, when the first worker is ready', () => {
    const server = new Simulation(2);
    server.settle();
    server.ready(2);
    assert.deepEqual(server.settle(), ['publish']);
    server.ready(1);
    assert.deepEqual(server.settle(), []);
  });

  it('is not asked for again while that is under way', () => {
    const server = new Simulation(2);
    server.publishing = 'pending';
    server.settle();
    server.readyAll();
    assert.deepEqual(server.settle(), ['publish']);
    server.exit(1);
    assert.deepEqual(server.settle(), []);
  });

  it('is not made reachable when the server is to end before that', () => {
    const server = new Simulation(1);
    server.settle();
    server.end('graceful');
    server.ready(1);
    assert.ok(!server.settle().includes('publish'));
  });
});

describe('Serving', () => {
  it('has nothing to do, and nothing to wait for, while all workers are ready', () => {
    assert.deepEqual(plan(Simulation.serving(4).state, 10_000), { actions: [], wakeAt: undefined });
  });

  it('replaces at once a worker that dies after it had served for a while', () => {
    const server = Simulation.serving(2);
    server.exit(2);
    assert.deepEqual(server.settle(), ['spawn 1/2']);
  });

  it('waits longer and longer before it replaces workers that die young, up to ten seconds', () => {
    const server = Simulation.serving(1);
    server.exit(1);
    server.settle();
    const waits: number[] = [];
    for (let id = 2; id < 12; id++) {
      server.exit(id);
      assert.deepEqual(server.settle(), []);
      waits.push(server.sleep());
      assert.deepEqual(server.settle(), ['spawn 1/1']);
    }
    assert.deepEqual(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
  });

  it('forgets the failures of a slot once a worker has served there for a while', () => {
    const server = Simulation.serving(1);
    server.exit(1);
    server.settle();
    server.exit(2);
    server.sleep();
    server.settle();
    server.ready(3);
    server.now += state.STABLE_AFTER;
    server.exit(3);
    assert.deepEqual(server.settle(), ['spawn 1/1']);
    server.exit(4);
    server.settle();
    assert.equal(server.sleep(), 100);
  });

  it('never lets one crashing slot keep another waiting', () => {
    const server = Simulation.serving(2);
    server.exit(1);
    server.settle();
    server.exit(3);
    server.exit(2);
    assert.deepEqual(server.settle(), ['spawn 1/2']);
  });

  it('lets healthy workers alone while a slot waits after young deaths', () => {
    const server = Simulation.serving(3);
    for (const id of [1, 4, 5, 6]) {
      server.exit(id);
      assert.ok(server.settle().every((action) => action === 'spawn 1/1'));
      if (id > 1) server.sleep();
      server.settle();
    }
    assert.deepEqual(staffed(server), [2, 3, 1]);
  });

  it('replaces a broken worker at once, while it finishes its requests, and kills it when it takes too long', () => {
    const server = Simulation.serving(1);
    server.break(1);
    assert.deepEqual(server.settle(), ['spawn 1/1']);
    server.ready(2);
    assert.equal(server.sleep(), limits.gracefulTimeout);
    assert.deepEqual(server.settle(), ['kill 1 (graceful timeout)']);
    server.exit(1);
    assert.deepEqual(server.settle(), []);
  });

  it('counts a worker that breaks right after its start as one that died young', () => {
    const server = Simulation.serving(1);
    server.break(1);
    server.settle();
    server.ready(2);
    server.break(2);
    assert.deepEqual(server.settle(), []);
    assert.equal(server.sleep(), 100);
  });

  it('forgets those that died young once one has served for a while, also if that went as it was told', () => {
    const server = Simulation.serving(1);
    server.exit(1);
    server.settle();
    server.ready(2);
    server.exit(2);
    assert.equal(server.sleep(), 100);
    server.settle();
    server.ready(3);
    server.pass(state.STABLE_AFTER);
    server.term(3);
    assert.deepEqual(server.settle(), ['spawn 1/1']);
    server.ready(4);
    assert.deepEqual(server.settle(), ['retire 3 (SIGTERM)']);
    server.finish(3);
    server.exit(4);
    assert.equal(server.sleep(), 100);
  });

  it('blames no slot for a worker that dies on its way out', () => {
    const server = Simulation.serving(2);
    server.scale(1);
    server.settle();
    server.exit(2);
    server.scale(2);
    assert.deepEqual(server.settle(), ['spawn 1/2']);
  });

  it('gives no worker more time, and its slot no blame, when it breaks on its way out', () => {
    const server = Simulation.serving(2);
    server.scale(1);
    server.settle();
    server.pass(limits.gracefulTimeout - 1);
    server.break(2);
    assert.deepEqual(server.settle(), []);
    assert.equal(server.sleep(), 1);
    assert.deepEqual(server.settle(), ['kill 2 (graceful timeout)']);
    server.scale(2);
    assert.deepEqual(server.settle(), ['spawn 1/2']);
  });
});

describe('A worker that is to be replaced', () => {
  it('goes only when its replacement is ready', () => {
    const server = Simulation.serving(1);
    server.term(1);
    assert.deepEqual(server.settle(), ['spawn 1/1']);
    server.ready(2);
    assert.deepEqual(server.settle(), ['retire 1 (SIGTERM)']);
    server.finish(1);
    assert.deepEqual(server.settle(), []);
  });

  it('is one that has answered enough requests, takes too much memory, or is too old', () => {
    const own = { maxRequests: 100, maxMemory: 1_000, maxLifetime: 60_000 };
    const replaced = (beat: { requests?: number; rss?: number }, age = 10_000): string[] => {
      const server = Simulation.serving(1, own);
      server.now = age;
      server.beat(1, beat);
      server.settle();
      server.readyAll();
      return server.settle();
    };
    assert.deepEqual(replaced({ requests: 99, rss: 999 }, 59_999), []);
    assert.deepEqual(replaced({ requests: 100 }), ['retire 1 (--max-requests)']);
    assert.deepEqual(replaced({ rss: 1_000 }), ['retire 1 (--max-memory)']);
    assert.deepEqual(replaced({}, 60_000), ['retire 1 (--max-lifetime)']);
  });

  it('is as old as its process, however long it booted', () => {
    const server = new Simulation(1, { maxLifetime: 60_000 });
    server.settle();
    server.pass(20_000);
    server.ready(1);
    server.settle();
    server.pass(39_999);
    assert.deepEqual(server.settle(), []);
    server.pass(1);
    assert.deepEqual(server.settle(), ['spawn 1/1']);
  });

  it('has one reason, the first', () => {
    const server = Simulation.serving(1, { maxRequests: 100, maxMemory: 1_000 });
    server.beat(1, { requests: 100 });
    server.beat(1, { rss: 1_000 });
    server.term(1);
    server.settle();
    server.ready(2);
    assert.deepEqual(server.settle(), ['retire 1 (--max-requests)']);
  });

  it('has its own share of the jitter', () => {
    const own = { ...limits, maxRequests: 100, maxRequestsJitter: 50 };
    const served = (chance: number) =>
      state.spawned(state.initialState(1, own), 1, 1, 0, chance).workers[0]?.limits.maxRequests;
    assert.deepEqual([0, 0.5, 1].map(served), [100, 125, 150]);
  });

  it('waits until the others before it are replaced: never all go at once', () => {
    const server = Simulation.serving(3);
    for (const id of [1, 2, 3]) server.term(id);
    assert.deepEqual(server.settle(), ['spawn 1/1']);
    server.ready(4);
    assert.deepEqual(server.settle(), ['retire 1 (SIGTERM)', 'spawn 1/2']);
    server.ready(5);
    assert.deepEqual(server.settle(), ['retire 2 (SIGTERM)', 'spawn 1/3']);
    server.ready(6);
    assert.deepEqual(server.settle(), ['retire 3 (SIGTERM)']);
  });

  it('goes on while its replacements die young, which wait longer and longer', () => {
    const server = Simulation.serving(1);
    server.term(1);
    server.settle();
    server.exit(2, HOPELESS);
    assert.deepEqual(server.settle(), []);
    assert.equal(server.sleep(), 100);
    assert.deepEqual(server.settle(), ['spawn 1/1']);
    assert.deepEqual(staffed(server), [1, 1]);
  });

  it('goes on while its replacement is stuck', () => {
    const server = Simulation.serving(1);
    server.term(1);
    server.settle();
    server.ready(2);
    server.mute.add(2);
    server.state = state.killed(server.state, 2, 'stuck');
    assert.deepEqual(server.settle(), []);
    server.exit(2);
    server.sleep();
    assert.deepEqual(server.settle(), ['spawn 1/1']);
  });

  it('has one replacement at a time, even if that is to be replaced before it is ready', () => {
    const server = Simulation.serving(1);
    server.term(1);
    server.settle();
    server.term(2);
    assert.deepEqual(server.settle(), []);
    server.ready(2);
    assert.deepEqual(server.settle(), ['retire 1 (SIGTERM)', 'spawn 1/1']);
    server.ready(3);
    assert.deepEqual(server.settle(), ['retire 2 (SIGTERM)']);
  });

  it('serves for a while before that: a limit that is too low does not start workers all the time', () => {
    const server = Simulation.serving(1, { maxMemory: 1_000 });
    server.beat(1, { rss: 2_000 });
    server.settle();
    server.ready(2);
    server.settle();
    server.beat(2, { rss: 2_000 });
    assert.deepEqual(server.settle(), []);
    server.now += state.STABLE_AFTER;
    server.beat(2, { rss: 2_000 });
    assert.deepEqual(server.settle(), ['spawn 1/1']);
  });

  it('is not replaced if it dies meanwhile: its replacement is there already', () => {
    const server = Simulation.serving(1);
    server.term(1);
    server.settle();
    server.exit(1);
    assert.deepEqual(server.settle(), []);
  });
});

describe('A stuck worker', () => {
  it('is killed when it has been silent for too long, and replaced before it is gone', () => {
    const server = Simulation.serving(2);
    server.mute.add(1);
    server.pass(limits.timeout - 1);
    assert.deepEqual(server.settle(), []);
    server.pass(1);
    assert.deepEqual(server.settle(), ['kill 1 (stuck)', 'spawn 1/1']);
    server.exit(1);
    assert.deepEqual(server.settle(), []);
    server.ready(3);
    assert.deepEqual(server.settle(), []);
  });

  it('is replaced once: if that one is stuck as well, the next has to wait until one is gone', () => {
    const server = Simulation.serving(1);
    server.mute.add(1);
    server.pass(limits.timeout);
    assert.deepEqual(server.settle(), ['kill 1 (stuck)', 'spawn 1/1']);
    server.ready(2);
    server.mute.add(2);
    server.pass(limits.timeout);
    assert.deepEqual(server.settle(), ['kill 2 (stuck)']);
    server.exit(1);
    assert.deepEqual(server.settle(), ['spawn 1/1']);
    server.exit(2);
    assert.deepEqual(server.settle(), []);
  });

  it('is not one that beats', () => {
    const server = Simulation.serving(2);
    for (let second = 0; second < 60; second++) {
      server.pass(1_000);
      assert.deepEqual(server.settle(), []);
    }
  });

  it('is none while the arbiter does not run, or when the clock of the machine jumps', () => {
    const server = Simulation.serving(2);
    server.now += 1_000_000;
    assert.deepEqual(server.settle(), []);
    server.state = state.ticked(server.state, 1_000);
    assert.deepEqual(server.settle(), []);
  });

  it('is not one that boots: it has its own limit', () => {
    const server = Simulation.serving(1);
    server.scale(2);
    server.settle();
    server.pass(limits.bootTimeout - 1);
    assert.deepEqual(server.settle(), []);
    server.ready(2);
    assert.deepEqual(server.settle(), []);
  });

  it('is not one that is told to go when it has booted for long', () => {
    const server = Simulation.serving(1);
    server.scale(2);
    server.settle();
    server.pass(limits.bootTimeout - 1);
    server.scale(1);
    assert.deepEqual(server.settle(), ['retire 2 (scaled down)']);
  });

  it('is found on its way out as well', () => {
    const server = Simulation.serving(2);
    server.scale(1);
    server.settle();
    server.mute.add(2);
    server.pass(limits.timeout);
    assert.deepEqual(server.settle(), ['kill 2 (stuck)']);
  });

  it('is never killed without a limit', () => {
    const server = Simulation.serving(1, { timeout: Infinity });
    server.mute.add(1);
    server.pass(1e9);
    assert.deepEqual(server.settle(), []);
  });
});

describe('Scaling', () => {
  it('adds to each generation what is asked for: that which serves may have another number than that on trial', () => {
    const server = Simulation.serving(4);
    server.reload(1);
    server.settle();
    server.state = state.scaled(server.state, (wanted) => wanted + 1);
    assert.deepEqual(server.settle(), ['spawn 1/5', 'spawn 2/2']);
    server.exit(5, HOPELESS);
    server.settle();
    assert.equal(state.current(server.state).wanted, 5);
  });

  it('fills the slots that are added', () => {
    const server = Simulation.serving(1);
    server.scale(3);
    assert.deepEqual(server.settle(), ['spawn 1/2', 'spawn 1/3']);
  });

  it('retires the workers of the slots that go', () => {
    const server = Simulation.serving(3);
    server.scale(1);
    assert.deepEqual(server.settle(), ['retire 2 (scaled down)', 'retire 3 (scaled down)']);
  });

  it('keeps those that serve until the slots that stay have workers that serve', () => {
    const server = Simulation.serving(3);
    server.exit(1);
    server.settle();
    server.exit(4);
    server.settle();
    server.scale(1);
    assert.deepEqual(server.settle(), ['retire 3 (scaled down)']);
    server.sleep();
    assert.deepEqual(server.settle(), ['spawn 1/1']);
    server.ready(5);
    assert.deepEqual(server.settle(), ['retire 2 (scaled down)']);
  });

  it('keeps no worker that does not serve yet', () => {
    const server = Simulation.serving(1);
    server.scale(2);
    server.settle();
    server.scale(1);
    assert.deepEqual(server.settle(), ['retire 2 (scaled down)']);
  });

  it('goes for both generations during a reload', () => {
    const server = reloading();
    server.scale(3);
    assert.deepEqual(server.settle(), ['spawn 1/3', 'spawn 2/3']);
    server.scale(1);
    server.readyAll();
    assert.deepEqual(server.settle(), [
      ...['retire 2 (scaled down)', 'retire 4 (scaled down)'],
      ...['retire 5 (scaled down)', 'retire 6 (scaled down)'],
    ]);
    server.pass(PROBATION);
    assert.deepEqual(server.settle(), ['publish', 'retire 1 (new generation)']);
  });
});

describe('A pause', () => {
  it('retires all workers, and waits for nothing when they are gone', () => {
    const server = Simulation.serving(2);
    server.pause();
    assert.deepEqual(server.settle(), ['retire 1 (paused)', 'retire 2 (paused)']);
    server.finish(1);
    server.finish(2);
    assert.deepEqual(plan(server.state, server.now), { actions: [], wakeAt: undefined });
  });

  it('ends when the operator resumes, at once, whatever the workers died of before', () => {
    const server = Simulation.serving(2);
    server.exit(1);
    server.settle();
    server.exit(3);
    server.pause();
    server.settle();
    server.resume();
    assert.deepEqual(server.settle(), ['spawn 1/1', 'spawn 1/2']);
  });

  it('ends when more workers are asked for, and not when fewer are', () => {
    const server = Simulation.serving(2);
    server.pause();
    server.settle();
    server.scale(1);
    assert.deepEqual(server.settle(), []);
    server.scale(2);
    assert.deepEqual(server.settle(), ['spawn 1/1', 'spawn 1/2']);
  });

  it('ends with a reload that succeeds', () => {
    const server = Simulation.serving(1);
    server.pause();
    server.settle();
    server.reload(1);
    assert.deepEqual(server.settle(), ['spawn 2/1']);
    server.readyAll();
    server.settle();
    server.sleep();
    assert.deepEqual(server.settle(), ['publish']);
    assert.equal(server.state.paused, false);
    server.exit(2, { reason: 'died young' });
    server.sleep();
    assert.deepEqual(server.settle(), ['spawn 2/1']);
  });

  it('goes on after a reload that fails', () => {
    const server = Simulation.serving(1);
    server.pause();
    server.settle();
    server.finish(1);
    server.reload(1);
    server.settle();
    server.exit(2, HOPELESS);
    assert.deepEqual(server.settle(), ['roll back (the app throws)']);
    assert.deepEqual(plan(server.state, server.now), { actions: [], wakeAt: undefined });
  });

  it('gives a reload up', () => {
    const server = reloading();
    server.pause();
    assert.deepEqual(server.settle(), [
      'roll back (paused)',
      ...['retire 1 (paused)', 'retire 2 (paused)'],
      ...['retire 3 (failed generation)', 'retire 4 (failed generation)'],
    ]);
  });

  it('before the start is over holds when the sockets are reachable', () => {
    const server = new Simulation(1);
    server.publishing = 'pending';
    server.settle();
    server.ready(1);
    server.settle();
    server.pause();
    assert.deepEqual(server.settle(), ['retire 1 (paused)']);
    server.published();
    assert.deepEqual(server.settle(), []);
    server.resume();
    assert.deepEqual(server.settle(), ['spawn 1/1']);
  });

  it('is over for a stop, which has one worker answer what waits', () => {
    const server = Simulation.serving(2);
    server.pause();
    server.settle();
    server.finish(1);
    server.finish(2);
    server.end('graceful');
    assert.deepEqual(server.settle(), ['spawn 1/1']);
    server.ready(3);
    assert.deepEqual(server.settle(), ['stop 3']);
    server.finish(3);
    assert.deepEqual(server.settle(), ['exit 0']);
  });
});

describe('A reload', () => {
  it('starts a second generation beside the first', () => {
    const server = Simulation.serving(2);
    server.reload(3);
    assert.deepEqual(server.settle(), ['spawn 2/1', 'spawn 2/2', 'spawn 2/3']);
  });

  it('retires the old workers only when every new one is ready and has stayed so for a moment', () => {
    const server = reloading();
    server.ready(3);
    assert.deepEqual(server.settle(), []);
    server.pass(10_000);
    server.ready(4);
    assert.deepEqual(server.settle(), []);
    assert.equal(server.sleep(), PROBATION);
    assert.deepEqual(server.settle(), ['publish', 'retire 1 (new generation)', 'retire 2 (new generation)']);
    assert.equal(state.current(server.state).number, 2);
  });

  it('keeps the old workers while the new sockets are being made reachable', () => {
    const server = reloading();
    server.publishing = 'pending';
    server.readyAll();
    server.pass(PROBATION);
    assert.deepEqual(server.settle(), ['publish']);
    server.published();
    assert.deepEqual(server.settle(), ['retire 1 (new generation)', 'retire 2 (new generation)']);
  });

  it('is given up when the new sockets cannot be made reachable', () => {
    const server = reloading();
    server.publishing = 'pending';
    server.readyAll();
    server.pass(PROBATION);
    server.settle();
    server.publishFailed('somebody is there');
    assert.deepEqual(server.settle(), [
      'roll back (somebody is there)',
      ...['retire 3 (failed generation)', 'retire 4 (failed generation)'],
    ]);
  });

  it('is given up with the first worker that cannot boot; the old ones never stopped', () => {
    const server = reloading();
    server.ready(3);
    server.exit(4, HOPELESS);
    assert.deepEqual(server.settle(), ['roll back (the app throws)', 'retire 3 (failed generation)']);
    assert.deepEqual(staffed(server), [1, 2]);
  });

  it('is given up when a worker is not ready in time', () => {
    const server = reloading();
    server.ready(3);
    server.pass(limits.bootTimeout - 1);
    assert.deepEqual(server.settle(), []);
    server.pass(1);
    assert.deepEqual(server.settle(), ['kill 4 (boot timeout)']);
    server.exit(4, { reason: 'not ready' });
    assert.deepEqual(server.settle(), ['roll back (not ready)', 'retire 3 (failed generation)']);
  });

  it('survives two workers that die after they were ready, but not a third', () => {
    const server = reloading();
    for (const id of [3, 4]) {
      server.readyAll();
      server.exit(id, { reason: `death of ${id}` });
      server.settle();
      server.sleep();
      assert.deepEqual(server.settle(), [`spawn 2/${id - 2}`]);
    }
    server.readyAll();
    server.exit(5, { reason: 'death of 5' });
    assert.deepEqual(server.settle(), ['roll back (death of 5)', 'retire 6 (failed generation)']);
  });

  it('counts workers that break as dead', () => {
    const server = reloading();
    for (const id of [3, 4, 5]) {
      server.readyAll();
      server.break(id);
      const actions = server.settle();
      if (id === 5) assert.match(actions[0]!, /^roll back/);
      else server.pass(1_000);
      server.settle();
    }
    assert.deepEqual(staffed(server), [1, 2]);
  });

  it('begins to wait anew for a worker that died and came back', () => {
    const server = reloading();
    server.readyAll();
    server.pass(PROBATION - 1);
    server.exit(3);
    server.settle();
    server.sleep();
    assert.deepEqual(server.settle(), ['spawn 2/1']);
    server.ready(5);
    server.pass(PROBATION - 1);
    assert.deepEqual(server.settle(), []);
    server.pass(1);
    assert.equal(server.settle()[0], 'publish');
  });

  it('does not believe a worker that is stuck', () => {
    const server = reloading();
    server.ready(3);
    server.mute.add(3);
    server.pass(limits.timeout);
    assert.deepEqual(server.settle(), ['kill 3 (stuck)', 'spawn 2/1']);
    server.ready(4);
    server.pass(PROBATION);
    assert.deepEqual(server.settle(), []);
  });

  it('is over once the new ones serve: their deaths count no more', () => {
    const server = reloading();
    server.readyAll();
    server.pass(PROBATION);
    server.settle();
    for (const id of [1, 2]) server.finish(id);
    for (const id of [3, 4, 5, 6]) {
      server.readyAll();
      server.exit(id);
      const actions = server.settle();
      server.pass(10_000);
      assert.match([...actions, ...server.settle()].join(), /^spawn 2\/[12]$/);
    }
  });

  it('can succeed after one that failed', () => {
    const server = reloading();
    server.exit(3, HOPELESS);
    server.settle();
    server.reload(1);
    assert.deepEqual(server.settle(), ['spawn 3/1']);
    server.readyAll();
    server.pass(PROBATION);
    assert.deepEqual(server.settle(), ['publish', 'retire 1 (new generation)', 'retire 2 (new generation)']);
  });

  it('fails for no death in the old generation', () => {
    const server = reloading();
    for (const id of [1, 2]) server.exit(id, HOPELESS);
    assert.deepEqual(server.settle(), ['spawn 1/1', 'spawn 1/2']);
    server.exit(5, HOPELESS);
    server.readyAll();
    server.pass(PROBATION);
    assert.ok(server.settle().includes('publish'));
  });

  it('fails for the first reason that there is', () => {
    const server = reloading();
    server.exit(3, HOPELESS);
    server.exit(4, { hopeless: true, reason: 'another reason' });
    assert.deepEqual(server.settle(), ['roll back (the app throws)']);
  });

  it('leaves the old generation its own workers to replace', () => {
    const server = reloading();
    server.exit(1);
    assert.deepEqual(server.settle(), ['spawn 1/1']);
  });

  it('leaves to the old workers the limits that they were started with', () => {
    const server = Simulation.serving(1);
    server.reload(1, { gracefulTimeout: 1_000 });
    server.settle();
    server.readyAll();
    server.pass(PROBATION);
    server.settle();
    assert.equal(server.sleep(), limits.gracefulTimeout);
    assert.deepEqual(server.settle(), ['kill 1 (graceful timeout)']);
  });

  it('comes before the wish of an old worker to be replaced, which is seen to if it fails', () => {
    const server = reloading();
    server.term(1);
    assert.deepEqual(server.settle(), []);
    server.exit(3, HOPELESS);
    assert.ok(server.settle().includes('spawn 1/1'));
  });

  it('replaces a new worker that wishes it, and counts from its replacement', () => {
    const server = reloading();
    server.readyAll();
    server.term(3);
    assert.deepEqual(server.settle(), ['spawn 2/1']);
    server.ready(5);
    assert.deepEqual(server.settle(), ['retire 3 (SIGTERM)']);
    server.pass(PROBATION);
    assert.equal(server.settle()[0], 'publish');
  });

  it('tells both generations to stop when the server is to end', () => {
    const server = reloading();
    server.ready(3);
    server.end('graceful');
    assert.deepEqual(server.settle(), ['stop 1', 'stop 2', 'stop 3', 'retire 4']);
  });
});

describe('A server that is to take the place of another', () => {
  it('is published only when all workers are ready and have stayed so for a moment', () => {
    const server = new Simulation(2, { onTrial: true });
    server.settle();
    server.ready(1);
    assert.deepEqual(server.settle(), []);
    server.ready(2);
    assert.equal(server.sleep(), PROBATION);
    assert.deepEqual(server.settle(), ['publish']);
  });

  it('ends when a worker cannot boot, and lets those that serve already finish', () => {
    const server = new Simulation(2, { onTrial: true });
    server.settle();
    server.ready(1);
    server.exit(2, { ...HOPELESS, exitCode: 4 });
    assert.deepEqual(server.settle(), ['retire 1']);
    server.finish(1);
    assert.deepEqual(server.settle(), ['exit 4']);
  });

  it('ends with the third worker that dies after it was ready, however it dies', () => {
    for (const die of [Simulation.prototype.exit, Simulation.prototype.break]) {
      const server = new Simulation(1, { onTrial: true });
      for (const id of [1, 2, 3]) {
        assert.equal(server.state.ending, undefined);
        server.settle();
        server.ready(id);
        die.call(server, id);
        server.settle();
        server.pass(200);
      }
      assert.equal(server.state.ending?.exitCode, 3);
    }
  });

  it('does not wait for a booting worker when it backs out: nobody could connect', () => {
    const server = new Simulation(1, { onTrial: true });
    server.settle();
    server.ready(1);
    server.exit(1);
    server.sleep();
    assert.deepEqual(server.settle(), ['spawn 1/1']);
    server.end('graceful');
    assert.deepEqual(server.settle(), ['retire 2']);
  });
});

describe('Stopping gracefully', () => {
  it('has every worker empty the queue and finish, then exits with 0', () => {
    const server = Simulation.serving(2);
    server.end('graceful');
    assert.deepEqual(server.settle(), ['stop 1', 'stop 2']);
    server.finish(1);
    assert.deepEqual(server.settle(), []);
    server.finish(2);
    assert.deepEqual(server.settle(), ['exit 0']);
  });

  it('does not replace a worker that dies meanwhile', () => {
    const server = Simulation.serving(2);
    server.end('graceful');
    server.settle();
    server.exit(1);
    assert.deepEqual(server.settle(), []);
  });

  it('kills what has not ended in time', () => {
    const server = Simulation.serving(1);
    server.end('graceful');
    server.settle();
    assert.equal(server.sleep(), limits.gracefulTimeout);
    assert.deepEqual(server.settle(), ['kill 1 (graceful timeout)']);
  });

  it('waits for a booting worker if nobody else could answer what is in the queue', () => {
    const server = Simulation.serving(1);
    server.exit(1);
    server.settle();
    server.end('graceful');
    assert.deepEqual(server.settle(), []);
    server.ready(2);
    assert.deepEqual(server.settle(), ['stop 2']);
  });

  it('waits for it as well if the only other worker is stuck', () => {
    const server = Simulation.serving(2);
    server.exit(1);
    server.settle();
    server.mute.add(2);
    server.pass(limits.timeout);
    server.settle();
    server.end('graceful');
    assert.deepEqual(server.settle(), []);
  });

  it('starts one worker, and only one, if nobody is there to answer what is in the queue', () => {
    const server = Simulation.serving(1);
    server.exit(1);
    server.settle();
    server.exit(2);
    assert.deepEqual(server.settle(), [], 'the slot waits after a young death');
    server.end('graceful');
    assert.deepEqual(server.settle(), ['spawn 1/1']);
    server.ready(3);
    assert.deepEqual(server.settle(), ['stop 3']);
    server.exit(3);
    assert.deepEqual(server.settle(), ['exit 0']);
  });

  it('starts one as well when the only worker is broken and has stopped accepting', () => {
    const server = Simulation.serving(1);
    server.break(1);
    server.settle();
    server.ready(2);
    server.break(2);
    server.end('graceful');
    assert.deepEqual(server.settle(), ['spawn 1/1']);
  });

  it('starts one as well when the only worker broke before it heard of the stop', () => {
    const server = Simulation.serving(1);
    server.end('graceful');
    server.settle();
    server.break(1);
    assert.deepEqual(server.settle(), ['spawn 1/1']);
  });

  it('starts one of the generation whose sockets are just being made reachable, as it serves a moment later', () => {
    const server = Simulation.serving(1);
    server.pause();
    server.settle();
    server.finish(1);
    server.publishing = 'pending';
    server.reload(1);
    server.settle();
    server.ready(2);
    server.pass(PROBATION);
    assert.deepEqual(server.settle(), ['publish']);
    server.end('graceful');
    server.settle();
    server.break(2);
    assert.deepEqual(server.settle(), ['spawn 2/1']);
    server.published();
    server.ready(3);
    assert.deepEqual(server.settle(), ['stop 3']);
  });

  it('takes no booting worker that ends for one that has emptied the queue', () => {
    const server = Simulation.serving(1);
    server.scale(2);
    server.settle();
    server.end('graceful');
    assert.deepEqual(server.settle(), ['stop 1', 'retire 2']);
    server.finish(2);
    server.exit(1);
    assert.deepEqual(server.settle(), ['spawn 1/1']);
  });

  it('does not wait for a booting worker before anybody could connect', () => {
    const server = new Simulation(1);
    server.settle();
    server.end('graceful');
    assert.deepEqual(server.settle(), ['retire 1']);
  });
});

describe('After a handover', () => {
  it('the workers leave the queue to others, and none is started for it', () => {
    const server = Simulation.serving(2);
    server.end('handover');
    assert.deepEqual(server.settle(), ['retire 1', 'retire 2']);
    server.exit(1);
    server.exit(2);
    assert.deepEqual(server.settle(), ['exit 0']);
  });

  it('a graceful stop changes nothing, and a quick one hurries', () => {
    const server = Simulation.serving(1);
    server.end('handover');
    server.settle();
    server.end('graceful');
    assert.deepEqual(server.settle(), []);
    server.end('quick');
    assert.deepEqual(server.settle(), ['quick 1']);
  });
});

describe('Stopping quickly', () => {
  it('tells every worker to hurry, those that drain already too, and kills what is left soon after', () => {
    const server = Simulation.serving(2);
    server.end('graceful');
    server.settle();
    server.end('quick');
    assert.deepEqual(server.settle(), ['quick 1', 'quick 2']);
    assert.equal(server.sleep(), QUICK_LIMIT);
    assert.deepEqual(server.settle(), ['kill 1 (quick stop)', 'kill 2 (quick stop)']);
  });

  it('kills at once when asked again, and never becomes gentle again', () => {
    const server = Simulation.serving(1);
    server.end('quick', 1);
    server.settle();
    server.end('now', 2);
    server.end('graceful', 3);
    assert.deepEqual(server.settle(), ['kill 1 (the server is ending)']);
    server.exit(1);
    assert.deepEqual(server.settle(), ['exit 1'], 'the first exit code stays');
  });
});
