/**
 * A server's control socket, as curl would use it.
 */
import type { Status, WorkerStatus } from '../../src/status.ts';
import { type Answer, fetchFrom } from './http.ts';
import { type Server, until } from './server.ts';

/** Where the control socket of a server is, unless a flag says something else. */
export const controlOf = ({ socket }: Pick<Server, 'socket'>): string => `${socket}.ctl`;

/** What `GET` gives, such as `/healthz`. */
export function look(server: Pick<Server, 'socket'>, path: string): Promise<Answer> {
  return fetchFrom({ socketPath: controlOf(server) }, path);
}

/** What becomes of `POST`, such as `/scale/+1`. */
export function order(server: Pick<Server, 'socket'>, path: string): Promise<Answer> {
  return fetchFrom({ socketPath: controlOf(server) }, path, { method: 'POST' });
}

/** Everything that the server tells of itself. */
export async function statusOf(server: Pick<Server, 'socket'>): Promise<Status> {
  return (await look(server, '/status')).json<Status>();
}

/** The workers of the generation that serves which are ready. */
export async function readyWorkers(server: Pick<Server, 'socket'>): Promise<WorkerStatus[]> {
  const { workers, generation } = await statusOf(server);
  return workers.filter((worker) => worker.phase === 'ready' && worker.generation === generation.current);
}

/** Waits until so many workers are ready, and no others are there. */
export async function settled(server: Pick<Server, 'socket'>, count: number): Promise<void> {
  await until(async () => {
    // It appears a moment after the server's own socket.
    const status = await statusOf(server).catch(() => undefined);
    if (!status) return false;
    const { workers, generation } = status;
    return (
      workers.length === count &&
      workers.every(({ phase, generation: own }) => phase === 'ready' && own === generation.current)
    );
  }, `${count} ready workers and no others`);
}

/** Waits until everybody who is wanted serves. */
export async function serving(server: Pick<Server, 'socket'>): Promise<void> {
  await until(async () => {
    const status = await statusOf(server).catch(() => undefined);
    return status && (await readyWorkers(server)).length === status.wanted;
  }, 'all workers');
}

/** Waits until this generation serves; old workers may still finish what they have begun. */
export async function reloaded(server: Pick<Server, 'socket'>, generation: number): Promise<void> {
  await until(
    async () => (await statusOf(server)).generation.current === generation,
    `generation ${generation}`,
  );
}

/** Looks again and again until it is told to stop, and says what it has seen. */
export function watch(
  server: Pick<Server, 'socket'>,
): () => Promise<{ fewestReady: number; mostBooting: number }> {
  const seen = { fewestReady: Number.POSITIVE_INFINITY, mostBooting: 0 };
  let over = false;
  const watching = (async () => {
    while (!over) {
      const { workers, generation } = await statusOf(server);
      const phases = workers.filter((one) => one.generation === generation.current).map(({ phase }) => phase);
      seen.fewestReady = Math.min(seen.fewestReady, phases.filter((phase) => phase === 'ready').length);
      seen.mostBooting = Math.max(seen.mostBooting, phases.filter((phase) => phase === 'booting').length);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  return async () => {
    over = true;
    await watching;
    return seen;
  };
}
