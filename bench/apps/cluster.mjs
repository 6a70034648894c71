/**
 * `node cluster.mjs WORKERS POLICY APP ADDRESS`: an app under Node's own `cluster`. POLICY is `round-robin`, where the
 * primary accepts and hands connections on, or `shared`, where workers accept on the same handle.
 */
import cluster from 'node:cluster';
import { fileURLToPath } from 'node:url';

const [, , workers, policy, ...served] = process.argv;
cluster.schedulingPolicy = policy === 'shared' ? cluster.SCHED_NONE : cluster.SCHED_RR;
cluster.setupPrimary({ exec: fileURLToPath(new URL('serve.mjs', import.meta.url)), args: served });
for (let count = 0; count < Number(workers); count++) cluster.fork();
cluster.on('exit', end);
process.on('SIGTERM', end);

function end() {
  for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGKILL');
  process.exit();
}
