// No app but the usual server without us: node:cluster, two workers, fastify.close() on SIGTERM; for comparison.
// node node-cluster.mjs SOCKET PLUGIN; its parent sends `restart` over IPC and is told when all workers are new.
import cluster from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import Fastify from 'fastify';

const [, , socket, plugin] = process.argv;

if (cluster.isPrimary) {
  const start = async () => {
    const worker = cluster.fork();
    await once(worker, 'listening');
    return worker;
  };
  let workers = await Promise.all([start(), start()]);
  process.send('ready');
  process.on('message', async () => {
    const old = workers;
    workers = [];
    for (const worker of old) {
      workers.push(await start());
      worker.process.kill('SIGTERM');
      // It may wait for a connection that is in use; the next one does not.
      await Promise.race([once(worker, 'exit'), sleep(2000)]);
    }
    process.send('restarted');
  });
  // Whatever becomes of the parent, nobody stays.
  process.on('disconnect', () => process.exit());
} else {
  const app = Fastify();
  app.register(await import(plugin));
  await app.listen({ path: socket });
  process.once('SIGTERM', async () => {
    await app.close();
    process.exit();
  });
}
