/**
 * `node:cluster` inside an app that would fork workers of its own: it is shown that it is a worker already. Knows what
 * Node itself reads there; nothing else of the worker uses the module.
 */
import cluster from 'node:cluster';
import { syncBuiltinESMExports } from 'node:module';

/** Node's listen() asks cluster who it is, and must go on hearing the truth. */
let nodeAsks = false;

/** Runs a listen() of Node's, as far as it is synchronous. */
export function asPrimary<T>(listen: () => T): T {
  nodeAsks = true;
  try {
    return listen();
  } finally {
    nodeAsks = false;
  }
}

/**
 * From now on `isPrimary` is false for the app, there is a `cluster.worker`, and `fork()` does nothing. `isWorker` stays
 * as it is, since Node's UDP sockets read it too.
 *
 * @param id what the app sees as `cluster.worker.id`.
 * @param warn is told once when the app forks all the same.
 */
export function discourageClusters(id: number, warn: (text: string) => void): void {
  const { Worker } = cluster as unknown as { Worker: new (options: object) => NodeJS.EventEmitter };
  const worker = () => new Worker({ id, process });
  let warned = false;
  const fork = () => {
    if (!warned)
      warn('cluster.fork() does nothing here: this process is one of the workers (--workers) already');
    warned = true;
    return worker();
  };
  for (const name of ['isPrimary', 'isMaster'])
    Object.defineProperty(cluster, name, { get: () => nodeAsks, configurable: true, enumerable: true });
  let own: object | undefined;
  Object.defineProperty(cluster, 'worker', {
    // Made when it is asked for, as it listens to the process.
    get: () => (own ??= worker()),
    configurable: true,
    enumerable: true,
  });
  cluster.fork = fork as unknown as typeof cluster.fork;
  syncBuiltinESMExports();
}
