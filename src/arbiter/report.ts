/**
 * What the control socket tells: the state as others are to see it. Reads, and changes nothing.
 */
import { readlinkSync } from 'node:fs';
import { formatAddress } from '../address.ts';
import type { Health, SocketStatus, Status, WorkerStatus } from '../status.ts';
import { acceptQueues } from './accept-queue.ts';
import type { Setup } from './crew.ts';
import { current, newest, type State, type WorkerState } from './state.ts';
import type { WorkerHandle } from './worker-handle.ts';

/** The exit of a worker. */
export type ExitNote = Status['exits'][number];

/** What a report is made from. */
export interface Reported {
  state: State;
  /** What the generation that serves is made from. */
  setup: Setup;
  settings: Status['settings'];
  handleOf(id: number): WorkerHandle | undefined;
  exits: readonly ExitNote[];
  version: string;
  /** Milliseconds of the state's clock. */
  startedAt: number;
  isUpgrading: boolean;
}

/** Whether the server is alive, and whether it wants traffic. */
export function healthOf(state: State): Health {
  const { number } = current(state);
  const serves = state.workers.some(
    ({ phase, generation, killed }) => phase === 'ready' && generation === number && !killed,
  );
  const reason = state.ending
    ? 'stopping'
    : state.paused
      ? 'paused'
      : serves
        ? undefined
        : 'no worker is ready';
  return { healthy: serves, ready: serves && reason === undefined, reason };
}

/** The whole answer to `GET /status`. */
export async function statusOf(from: Reported): Promise<Status> {
  const { state, setup, settings, handleOf, exits, version, startedAt, isUpgrading } = from;
  const now = performance.now();
  const next = newest(state);
  return {
    arbiter: {
      pid: process.pid,
      pidNamespace: pidNamespace() ?? null,
      version,
      node: process.versions.node,
      app: setup.app,
      phase: phaseOf(state, isUpgrading),
      uptime: (now - startedAt) / 1000,
      rss: process.memoryUsage.rss(),
    },
    wanted: current(state).wanted,
    generation: { current: current(state).number, next: next === current(state) ? null : next.number },
    workers: state.workers.map((worker) => workerStatus(worker, handleOf(worker.id), now)),
    exits: [...exits],
    sockets: await socketsOf(setup),
    settings,
  };
}

function phaseOf(state: State, isUpgrading: boolean): Status['arbiter']['phase'] {
  if (state.ending) return 'stopping';
  if (isUpgrading) return 'upgrading';
  if (state.generations.length > 1) return 'reloading';
  if (state.paused) return 'paused';
  return current(state).published === 'yes' ? 'serving' : 'starting';
}

function workerStatus(worker: WorkerState, handle: WorkerHandle | undefined, now: number): WorkerStatus {
  const { slot, generation, phase, killed, born, silence } = worker;
  return {
    worker: slot,
    generation,
    pid: handle?.pid ?? null,
    phase: killed === 'stuck' ? 'stuck' : phase,
    age: (now - born) / 1000,
    ...(phase !== 'booting' && { silent: silence / 1000 }),
    ...handle?.beat,
  };
}

async function socketsOf({ listeners }: Setup): Promise<SocketStatus[]> {
  const queues = await acceptQueues(listeners.map(({ fd }) => fd));
  return listeners.map(({ address }, index) => ({
    address: formatAddress(address),
    ...(queues[index] ?? { queue: null, limit: null }),
  }));
}

/** The namespace that our pid belongs to, on Linux. */
function pidNamespace(): string | undefined {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return undefined;
  }
}
