/**
 * What holds for the policy whatever happens: random events, and what must be true before each action, after each
 * event, and in the end.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PROBATION } from '../src/arbiter/limits.ts';
import { type Action, plan } from '../src/arbiter/plan.ts';
import {
  current,
  type Generation,
  newest,
  STABLE_AFTER,
  type State,
  type WorkerState,
} from '../src/arbiter/state.ts';
import { limits, Simulation } from './support/simulation.ts';

/** Low enough for random events to pass them. */
const LOW = { maxRequests: 100, maxMemory: 1_000, maxLifetime: 60_000 };
const TIMES = [1, 50, 100, PROBATION, 1_000, STABLE_AFTER, 9_000, limits.gracefulTimeout, limits.bootTimeout];
const MOST_WORKERS = 4;

/** One event: its name, and a number that means something different to each. */
type Step = readonly [name: keyof typeof steps, number: number];

/** A server and one of its workers, or undefined where there is none that the event can happen to. */
const pick = (
  { state }: Simulation,
  number: number,
  can: (worker: WorkerState) => boolean,
): number | undefined => {
  const able = state.workers.filter(can);
  return able[number % Math.max(1, able.length)]?.id;
};

const isServing = ({ phase, killed }: WorkerState) => phase !== 'booting' && !killed;
const anybody = () => true;

/** What can happen. What the arbiter never does, such as a reload during a stop, does nothing. */
const steps = {
  ready: onWorker(
    ({ phase }) => phase !== 'ready',
    (server, id) => server.ready(id),
  ),
  beat: onWorker(isServing, (server, id) => {
    server.mute.delete(id);
    server.beat(id);
  }),
  enoughRequests: onWorker(isServing, (server, id) => server.beat(id, { requests: 100 })),
  muchMemory: onWorker(isServing, (server, id) => server.beat(id, { rss: 1_000 })),
  mute: onWorker(isServing, (server, id) => server.mute.add(id)),
  term: onWorker(anybody, (server, id) => server.term(id)),
  break: onWorker(isServing, (server, id) => server.break(id)),
  die: onWorker(anybody, (server, id) => server.exit(id)),
  cannotBoot: onWorker(
    ({ phase }) => phase === 'booting',
    (server, id) => server.exit(id, { hopeless: true }),
  ),
  finish: onWorker(
    ({ phase }) => phase === 'retiring',
    (server, id) => server.finish(id),
  ),
  killedOnesEnd(server: Simulation) {
    for (const { id, killed } of server.state.workers) if (killed) server.exit(id);
  },
  allReady: (server: Simulation) => server.readyAll(),
  /** The next thing that a generation waits for, be it the first or one on trial. */
  goesWell(server: Simulation) {
    server.readyAll();
    server.pass(PROBATION);
    server.settle();
    steps.publishWorks(server);
  },
  timePasses: (server: Simulation, number: number) => server.pass(TIMES[number % TIMES.length]!),
  timer(server: Simulation) {
    if (plan(server.state, server.now).wakeAt !== undefined) server.sleep();
  },
  arbiterIsStopped(server: Simulation, number: number) {
    server.now += 10 * TIMES[number % TIMES.length]!;
  },
  publishWorks(server: Simulation) {
    if (newest(server.state).published === 'pending') server.published();
  },
  publishFails(server: Simulation) {
    if (newest(server.state).published !== 'pending') return;
    if (newest(server.state).number > 1) server.publishFailed('the name is taken');
    else server.end('now', 1);
  },
  reload(server: Simulation, number: number) {
    const { ending, generations } = server.state;
    if (ending || generations.length > 1 || current(server.state).published !== 'yes') return;
    server.reload((number % MOST_WORKERS) + 1, LOW);
  },
  scale(server: Simulation, number: number) {
    if (!server.state.ending) server.scale((number % MOST_WORKERS) + 1);
  },
  pause(server: Simulation) {
    if (!server.state.ending && !server.state.paused) server.pause();
  },
  resume(server: Simulation) {
    if (!server.state.ending && server.state.paused) server.resume();
  },
  stop: (server: Simulation) => server.end('graceful'),
  handOver: (server: Simulation) => server.end('handover'),
  quickStop: (server: Simulation) => server.end('quick'),
  stopNow: (server: Simulation) => server.end('now'),
};

function onWorker(can: (worker: WorkerState) => boolean, act: (server: Simulation, id: number) => void) {
  return (server: Simulation, number: number) => {
    const id = pick(server, number, can);
    if (id !== undefined) act(server, id);
  };
}

const names = Object.keys(steps) as Step[0][];
const endings: Step[0][] = ['stop', 'handOver', 'quickStop', 'stopNow', 'publishFails'];
// What brings a server on comes more often, as otherwise most of them never get far.
const common: Step[0][] = [
  ...names.filter((name) => !endings.includes(name)),
  ...(['ready', 'allReady', 'timer', 'goesWell', 'goesWell', 'goesWell', 'killedOnesEnd', 'reload'] as const),
];

const step: fc.Arbitrary<Step> = fc.tuple(
  fc.oneof(
    { arbitrary: fc.constantFrom(...common), weight: 100 },
    { arbitrary: fc.constantFrom(...endings), weight: 1 },
  ),
  fc.nat(30),
);

const story = fc.record({
  workers: fc.integer({ min: 1, max: MOST_WORKERS }),
  begins: fc.constantFrom('at the start', 'as a successor', 'while it serves'),
  steps: fc.array(step, { maxLength: 80, size: 'max' }),
});

/** A server that has lived through a story, with everything checked at every moment. */
class Witness {
  readonly server: Simulation;
  exits = 0;
  readonly #farewells = new Map<number, string>();
  readonly #killed = new Set<number>();
  #rescues = 0;

  constructor(workers: number, begins: string) {
    this.server = new Simulation(workers, { ...LOW, onTrial: begins === 'as a successor' });
    this.server.publishing = 'pending';
    this.server.onAction = (action) => this.#before(action);
    this.#settle();
    if (begins === 'while it serves') this.take(['goesWell', 0]);
  }

  take([name, number]: Step): void {
    if (this.exits > 0) return;
    steps[name](this.server, number);
    this.#settle();
  }

  /** From now on all goes well, until there is nothing left to wish for: who boots gets ready, who is to go goes. */
  allGoesWell(): void {
    for (let round = 0; round < 150 && this.exits === 0 && flawOf(this.server.state); round++) {
      this.server.mute.clear();
      for (const { id, killed, phase } of this.server.state.workers) {
        if (killed) this.server.exit(id);
        else if (phase === 'retiring') this.server.finish(id);
      }
      for (const [name] of [['allReady'], ['publishWorks'], ['resume'], ['timePasses']] as const)
        this.take([name, TIMES.indexOf(PROBATION)]);
    }
  }

  #settle(): void {
    this.server.settle();
    if (this.exits === 0) checkRest(this.server);
  }

  #before(action: Action): void {
    const { server } = this;
    const { state, now } = server;
    switch (action.type) {
      case 'spawn':
        checkSpawn(state, action);
        if (state.ending) assert.equal(++this.#rescues, 1, 'one worker at most is started during a stop');
        break;
      case 'retire': {
        const before = this.#farewells.get(action.id) ?? workerOf(state, action.id).farewell;
        assert.ok(
          before === undefined || (before !== 'quick' && action.farewell === 'quick'),
          `worker ${action.id} was told ${before} before`,
        );
        this.#farewells.set(action.id, action.farewell);
        checkRetire(state, action);
        break;
      }
      case 'kill': {
        assert.ok(!this.#killed.has(action.id), 'nobody is killed twice');
        this.#killed.add(action.id);
        const { phase } = workerOf(state, action.id);
        if (action.why === 'stuck') assert.ok(server.mute.has(action.id), 'a worker that beats is not stuck');
        if (action.why === 'boot timeout') assert.equal(phase, 'booting');
        if (action.why === 'graceful timeout') assert.ok(phase === 'retiring' || state.ending);
        break;
      }
      case 'publish':
        checkPublish(state, now);
        break;
      case 'rollBack':
        assert.ok(newest(state).trial?.failed, 'only what has failed is given up');
        break;
      case 'exit':
        this.exits++;
        assert.deepEqual(state.workers, [], 'nobody is left behind');
        assert.equal(action.code, state.ending?.exitCode);
    }
  }
}

function workerOf(state: State, id: number): WorkerState {
  const worker = state.workers.find((one) => one.id === id);
  assert.ok(worker, `there is no worker ${id}`);
  return worker;
}

/** The workers of a generation that have not been told to go. */
const staff = (state: State, { number }: Generation): WorkerState[] =>
  state.workers.filter(({ generation, phase }) => generation === number && phase !== 'retiring');

const readyOf = (state: State, generation: Generation): WorkerState[] =>
  staff(state, generation).filter(({ phase, killed }) => phase === 'ready' && !killed);

function checkSpawn(state: State, { generation: number, slot }: Extract<Action, { type: 'spawn' }>): void {
  const generation = state.generations.find((one) => one.number === number);
  assert.ok(generation, 'a worker is of a generation that is wanted');
  assert.ok(slot >= 1 && slot <= generation.wanted, `slot ${slot} of ${generation.wanted}`);
  if (state.ending) assert.equal(state.ending.how, 'graceful');
  else assert.ok(!state.paused || generation !== current(state), 'nobody is started during a pause');
}

function checkRetire(state: State, { id, why }: Extract<Action, { type: 'retire' }>): void {
  const worker = workerOf(state, id);
  assert.equal(worker.killed, undefined);
  const generation = state.generations.find(({ number }) => number === worker.generation);
  switch (why) {
    case 'stop':
      assert.ok(state.ending);
      break;
    case 'paused':
      assert.ok(state.paused && generation === current(state));
      break;
    case 'new generation':
      assert.ok(worker.generation < current(state).number);
      assert.equal(current(state).published, 'yes', 'the old ones stay until the new ones serve');
      break;
    case 'failed generation':
      assert.ok(worker.generation > current(state).number);
      break;
    case 'scaled down':
      assert.ok(generation && worker.slot > generation.wanted);
      if (worker.phase === 'ready')
        assert.ok(
          readyOf(state, generation).some(({ slot }) => slot < worker.slot),
          'the last one stays',
        );
      break;
    default:
      assert.ok(
        generation && readyOf(state, generation).some((one) => one.slot === worker.slot && one.id > id),
        'who wishes to go stays until its replacement is ready',
      );
      assert.equal(worker.wish, why);
  }
}

function checkPublish(state: State, now: number): void {
  const generation = newest(state);
  assert.equal(state.ending, undefined);
  assert.equal(generation.published, 'no', 'once is enough');
  const ready = readyOf(state, generation);
  assert.ok(ready.length > 0);
  if (!generation.trial) return;
  assert.equal(generation.trial.failed, undefined);
  const proven = ready.filter(({ since }) => now - since >= PROBATION);
  for (let slot = 1; slot <= generation.wanted; slot++)
    assert.ok(
      proven.some((worker) => worker.slot === slot),
      `slot ${slot} has proved nothing yet`,
    );
}

/** What holds whenever the arbiter has nothing more to do. */
function checkRest({ state, now }: Simulation): void {
  const { wakeAt } = plan(state, now);
  assert.ok(wakeAt === undefined || wakeAt > now, 'what is due is done');
  if (state.ending) checkEnding(state, wakeAt);
  else for (const generation of state.generations) checkStaff(state, generation, wakeAt);
  for (const { phase, killed } of state.workers)
    if (phase === 'retiring' && !killed)
      assert.notEqual(wakeAt, undefined, 'nobody waits for ever for who goes');
  const numbers = state.generations.map(({ number }) => number);
  assert.ok(numbers.length <= 2, 'at most two generations serve');
  for (const { generation, phase, killed } of state.workers)
    assert.ok(numbers.includes(generation) || phase === 'retiring' || killed, 'others are on their way out');
}

function checkStaff(state: State, generation: Generation, wakeAt: number | undefined): void {
  const { wanted, trial, published } = generation;
  const all = staff(state, generation);
  const inPlace = all.filter(({ slot }) => slot <= wanted);
  assert.ok(
    inPlace.filter(({ killed }) => !killed).length <= wanted + 1,
    'one replacement at a time, beside those that are wanted',
  );
  const ready = readyOf(state, generation);
  for (const { slot, phase, killed } of all) {
    if (slot <= wanted || killed) continue;
    const before = new Set(ready.map((one) => one.slot).filter((one) => one < slot));
    assert.ok(phase === 'ready' && before.size < wanted, 'who is too much stays only in the place of others');
  }
  if (state.paused && generation === current(state)) {
    assert.ok(
      all.every(({ killed }) => killed),
      'nobody serves during a pause',
    );
    return;
  }
  const missing = wanted - new Set(inPlace.map(({ slot }) => slot)).size;
  if (missing > 0) assert.notEqual(wakeAt, undefined, 'empty slots are filled one day');
  const isComplete = inPlace.every((worker) => ready.includes(worker));
  if (trial && isComplete && missing === 0 && published === 'no')
    assert.notEqual(wakeAt, undefined, 'a trial ends one day');
}

function checkEnding({ workers, ending, generations }: State, wakeAt: number | undefined): void {
  const { how } = ending!;
  for (const { farewell, killed, phase } of workers) {
    const isTold = how === 'quick' ? farewell === 'quick' : farewell !== undefined;
    const isAwaited = how === 'graceful' && phase === 'booting' && generations[0].published !== 'no';
    assert.ok(killed || (how !== 'now' && (isTold || isAwaited)), 'everybody is told of the end');
  }
  if (workers.some(({ killed }) => !killed)) assert.notEqual(wakeAt, undefined, 'the end comes one day');
}

/** What a server that has had good luck for long must not be; undefined if all is well. */
function flawOf({ generations, paused, ending, workers }: State): string | undefined {
  const [{ wanted, published, number }, ...others] = generations;
  if (ending) return 'it is ending';
  if (paused) return 'it is paused';
  if (others.length > 0 || published !== 'yes') return 'a trial has not ended';
  const serving = workers.filter(({ phase, killed, wish }) => phase === 'ready' && !killed && !wish);
  if (serving.length < workers.length) return 'some workers do not serve, or are to be replaced';
  if (workers.some(({ generation }) => generation !== number))
    return 'there are workers of another generation';
  const slots = new Set(workers.map(({ slot }) => slot).filter((slot) => slot <= wanted));
  if (slots.size !== wanted || workers.length !== wanted) return 'there are not as many workers as wanted';
  return undefined;
}

const RUNS = 2_000;
/** A slow machine sees fewer stories, and a long one is shortened only so far, in milliseconds. */
const PATIENCE = 15_000;

describe('Whatever happens', () => {
  it('no rule of the policy is broken, and once all goes well everybody wanted serves, or everything has ended', () => {
    let told = 0;
    let ended = 0;
    let reloaded = 0;
    fc.assert(
      fc.property(story, ({ workers, begins, steps }) => {
        told++;
        const witness = new Witness(workers, begins);
        for (const one of steps) witness.take(one);
        witness.allGoesWell();
        const { state } = witness.server;
        if (state.ending) {
          ended++;
          assert.equal(witness.exits, 1, 'the end comes once');
          return;
        }
        if (current(state).number > 1) reloaded++;
        assert.equal(flawOf(state), undefined);
      }),
      { numRuns: RUNS, interruptAfterTimeLimit: PATIENCE },
    );
    // Otherwise the stories have become too dull to say anything.
    assert.ok(ended > told / 10, `${ended} of ${told} ended`);
    assert.ok(reloaded > told / 10, `${reloaded} of ${told} went on with a later generation`);
  });
});
