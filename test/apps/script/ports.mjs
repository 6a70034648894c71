// A script that listens on several ports: its own, that of its metrics, and one that the system chooses.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { promisify } from 'node:util';

const { MAIN, METRICS, CLEANUP } = process.env;
const answer = (text) => createServer((_request, response) => response.end(`${text} ${process.pid}`));
const main = answer('main').listen(Number(MAIN), '127.0.0.1');
// As Fastify does for the other address of localhost.
answer('main').listen(Number(MAIN), '::1');
const any = answer('any').listen({ path: '', port: undefined, host: 'localhost' });
const metrics = answer('metrics').listen(Number(METRICS));
await Promise.all([once(any, 'listening'), once(metrics, 'listening')]);
console.error(
  JSON.stringify({ main: main.address().port, metrics: metrics.address().port, any: any.address().port }),
);

if (CLEANUP) {
  process.on('SIGTERM', async () => {
    for (const server of [main, any, metrics]) await promisify(server.close).call(server);
    console.error('all closed well');
  });
}
