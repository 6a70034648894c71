/**
 * The policy, without processes: events edit a state, and the plan says what follows.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Action, plan, QUICK_LIMIT } from '../src/arbiter/plan.ts';
import * as state from '../src/arbiter/state.ts';

const limits = { bootTimeout: 30_000, gracefulTimeout: 20_000 };

/** A server in a test: a clock, a state, and the actions that the plan made of it so far. */
class Simulation {
  now = 0;
  state: state.State;

  constructor(workers: number) {
    this.state = state.initialState(workers, limits);
  }

  /** A server whose workers have been ready for ten seconds. */
  static serving(workers: number): Simulation {
    const simulation = new Simulation(workers);
    simulation.settle();
    for (const { id } of simulation.state.workers) simulation.ready(id);
    simulation.settle();
    simulation.now += 10_000;
    return simulation;
  }

  /** Does what the plan says, as the arbiter would, and returns it. */
  settle(): Action[] {
    const done: Action[] = [];
    for (;;) {
      const { actions } = plan(this.state, this.now);
      done.push(...actions);
      for (const action of actions) {
        if (action.type === 'spawn') this.state = state.spawned(this.state, action.slot, this.now);
        if (action.type === 'publish') this.state = state.published(this.state);
        if (action.type === 'kill') this.state = state.killed(this.state, action.id, action.why);
        if (action.type === 'retire') {
          this.state = state.retired(this.state, action.id, action.farewell, this.now);
        }
      }
      if (actions.length === 0 || actions.some(({ type }) => type === 'exit')) return done;
    }
  }

  ready(id: number): void {
    this.state = state.becameReady(this.state, id, this.now);
  }

  /** A worker dies. */
  exit(id: number, code = 3): void {
    this.state = state.exited(this.state, id, this.now, code, false);
  }

  /** A worker ends as it was told. */
  finish(id: number): void {
    this.state = state.exited(this.state, id, this.now, 3, true);
  }

  /** Lets time pass until the plan wants to be asked again, and says how long that was. */
  sleep(): number {
    const { wakeAt } = plan(this.state, this.now);
    assert.notEqual(wakeAt, undefined, 'nothing would ever wake the arbiter');
    const slept = wakeAt! - this.now;
    this.now = wakeAt!;
    return slept;
  }

  end(how: state.Ending['how'], code = 0): void {
    this.state = state.ending(this.state, how, code, this.now);
  }
}

describe('Starting', () => {
  it('spawns a worker for every slot at once', () => {
    assert.deepEqual(new Simulation(3).settle(), [
      { type: 'spawn', slot: 1 },
      { type: 'spawn', slot: 2 },
      { type: 'spawn', slot: 3 },
    ]);
  });

  it('ends with the reason of the first worker that fails before any was ready', () => {
    const server = new Simulation(2);
    server.settle();
    server.exit(1, 4);
    assert.deepEqual(server.settle(), [{ type: 'kill', id: 2, why: 'the server is ending' }]);
    server.exit(2, 3);
    assert.deepEqual(server.settle(), [{ type: 'exit', code: 4 }]);
  });

  it('kills a worker that is not ready in time, which fails the start', () => {
    const server = new Simulation(1);
    server.settle();
    assert.equal(server.sleep(), limits.bootTimeout);
    assert.deepEqual(server.settle(), [{ type: 'kill', id: 1, why: 'boot timeout' }]);
    server.exit(1, 3);
    assert.deepEqual(server.settle(), [{ type: 'exit', code: 3 }]);
  });

  it('goes on if one worker fails after another was ready', () => {
    const server = new Simulation(2);
    server.settle();
    server.ready(1);
    server.settle();
    server.exit(2);
    server.sleep();
    assert.deepEqual(server.settle(), [{ type: 'spawn', slot: 2 }]);
  });
});

describe('The socket', () => {
  it('is made reachable once, when the first worker is ready', () => {
    const server = new Simulation(2);
    server.settle();
    server.ready(2);
    assert.deepEqual(server.settle(), [{ type: 'publish' }]);
    server.ready(1);
    assert.deepEqual(server.settle(), []);
  });

  it('is not made reachable when the server is to end before that', () => {
    const server = new Simulation(1);
    server.settle();
    server.end('graceful');
    server.ready(1);
    assert.ok(server.settle().every(({ type }) => type !== 'publish'));
  });
});

describe('Serving', () => {
  it('has nothing to do, and nothing to wait for, while all workers are ready', () => {
    assert.deepEqual(plan(Simulation.serving(4).state, 10_000), { actions: [], wakeAt: undefined });
  });

  it('replaces at once a worker that dies after it had served for a while', () => {
    const server = Simulation.serving(2);
    server.exit(2);
    assert.deepEqual(server.settle(), [{ type: 'spawn', slot: 2 }]);
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
      assert.deepEqual(server.settle(), [{ type: 'spawn', slot: 1 }]);
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
    assert.deepEqual(server.settle(), [{ type: 'spawn', slot: 1 }]);
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
    assert.deepEqual(server.settle(), [{ type: 'spawn', slot: 2 }]);
  });

  it('replaces a broken worker at once, while it finishes its requests, and kills it when it takes too long', () => {
    const server = Simulation.serving(1);
    server.state = state.broke(server.state, 1, server.now);
    assert.deepEqual(server.settle(), [{ type: 'spawn', slot: 1 }]);
    server.ready(2);
    assert.equal(server.sleep(), limits.gracefulTimeout);
    assert.deepEqual(server.settle(), [{ type: 'kill', id: 1, why: 'graceful timeout' }]);
    server.exit(1);
    assert.deepEqual(server.settle(), []);
  });

  it('counts a worker that breaks right after its start as one that died young', () => {
    const server = Simulation.serving(1);
    server.state = state.broke(server.state, 1, server.now);
    server.settle();
    server.ready(2);
    server.state = state.broke(server.state, 2, server.now);
    assert.deepEqual(server.settle(), []);
    assert.equal(server.sleep(), 100);
  });

  it('lets a worker that asks to leave go only when its replacement is ready', () => {
    const server = Simulation.serving(1);
    server.state = state.askedToLeave(server.state, 1);
    assert.deepEqual(server.settle(), [{ type: 'spawn', slot: 1 }]);
    server.ready(2);
    assert.deepEqual(server.settle(), [{ type: 'retire', id: 1, farewell: 'retire' }]);
  });
});

describe('Stopping gracefully', () => {
  it('has every worker empty the queue and finish, then exits with 0', () => {
    const server = Simulation.serving(2);
    server.end('graceful');
    assert.deepEqual(server.settle(), [
      { type: 'retire', id: 1, farewell: 'stop' },
      { type: 'retire', id: 2, farewell: 'stop' },
    ]);
    server.finish(1);
    assert.deepEqual(server.settle(), []);
    server.finish(2);
    assert.deepEqual(server.settle(), [{ type: 'exit', code: 0 }]);
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
    assert.deepEqual(server.settle(), [{ type: 'kill', id: 1, why: 'graceful timeout' }]);
  });

  it('waits for a booting worker if nobody else could answer what is in the queue', () => {
    const server = Simulation.serving(1);
    server.exit(1);
    server.settle();
    server.end('graceful');
    assert.deepEqual(server.settle(), []);
    server.ready(2);
    assert.deepEqual(server.settle(), [{ type: 'retire', id: 2, farewell: 'stop' }]);
  });

  it('starts one worker, and only one, if nobody is there to answer what is in the queue', () => {
    const server = Simulation.serving(1);
    server.exit(1);
    server.settle();
    server.exit(2);
    assert.deepEqual(server.settle(), [], 'the slot waits after a young death');
    server.end('graceful');
    assert.deepEqual(server.settle(), [{ type: 'spawn', slot: 1 }]);
    server.ready(3);
    assert.deepEqual(server.settle(), [{ type: 'retire', id: 3, farewell: 'stop' }]);
    server.exit(3);
    assert.deepEqual(server.settle(), [{ type: 'exit', code: 0 }]);
  });

  it('starts one as well when the only worker is broken and has stopped accepting', () => {
    const server = Simulation.serving(1);
    server.state = state.broke(server.state, 1, server.now);
    server.settle();
    server.ready(2);
    server.state = state.broke(server.state, 2, server.now);
    server.end('graceful');
    assert.deepEqual(server.settle(), [{ type: 'spawn', slot: 1 }]);
  });

  it('does not wait for a booting worker before anybody could connect', () => {
    const server = new Simulation(1);
    server.settle();
    server.end('graceful');
    assert.deepEqual(server.settle(), [{ type: 'retire', id: 1, farewell: 'stop' }]);
  });
});

describe('Stopping quickly', () => {
  it('tells every worker to hurry, those that drain already too, and kills what is left soon after', () => {
    const server = Simulation.serving(2);
    server.end('graceful');
    server.settle();
    server.end('quick');
    assert.deepEqual(server.settle(), [
      { type: 'retire', id: 1, farewell: 'quick' },
      { type: 'retire', id: 2, farewell: 'quick' },
    ]);
    assert.equal(server.sleep(), QUICK_LIMIT);
    assert.deepEqual(
      server.settle().map(({ type }) => type),
      ['kill', 'kill'],
    );
  });

  it('kills at once when asked again, and never becomes gentle again', () => {
    const server = Simulation.serving(1);
    server.end('quick');
    server.settle();
    server.end('now');
    server.end('graceful');
    assert.deepEqual(server.settle(), [{ type: 'kill', id: 1, why: 'the server is ending' }]);
    server.exit(1);
    assert.deepEqual(server.settle(), [{ type: 'exit', code: 0 }]);
  });
});
