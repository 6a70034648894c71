// Beside its HTTP server it has one for its metrics, and one that speaks no HTTP, on a socket of its own.
import { createServer } from 'node:http';
import { createServer as createRawServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const { METRICS, RAW } = process.env;
createServer((_request, response) => response.end(`main ${process.pid}`)).listen(3000);
createServer(async (request, response) => {
  if (request.url === '/slow') {
    console.error('slow begins');
    await sleep(1500);
  }
  response.end(JSON.stringify({ forwarded: request.headers['x-forwarded-for'] ?? null, pid: process.pid }));
}).listen(Number(METRICS), '127.0.0.1');
if (RAW) createRawServer((socket) => socket.end('raw')).listen(`${RAW}.${process.pid}`);
