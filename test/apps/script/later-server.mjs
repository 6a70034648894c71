// Has a server for its metrics from the moment on when it is told to; a second one gets no room beside it.
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const metrics = () => createServer((_request, response) => response.end(`metrics ${process.pid}`));
createServer(async (request, response) => {
  if (request.url === '/slow') {
    console.error('slow begins');
    await sleep(1500);
  }
  if (request.url !== '/later') response.end(`main ${process.pid}`);
  else metrics().listen(Number(process.env.METRICS), () => response.end('listening'));
}).listen(3000);
