/**
 * `node serve.mjs APP ADDRESS`: one process that serves an app, and nothing around it. APP is `fastify`, `http`, or
 * `fastify-logger`; ADDRESS a path, a port of loopback, or `fd:3`, a socket that is bound already. Says `listening`.
 */
import { createServer } from 'node:http';
import Fastify from 'fastify';
import workloads, { options } from './fastify.mjs';
import listener from './http.mjs';

/** As fasticorn and Gunicorn have it. */
const BACKLOG = 2048;

const [, , app, address] = process.argv;
const server = app === 'http' ? bare() : await withFastify(app === 'fastify-logger');
const ready = () => console.log('listening');
// Only in this form does Node not replace the backlog by 511.
if (address.startsWith('fd:')) server.listen({ fd: Number(address.slice(3)) }, BACKLOG, ready);
else if (address.startsWith('/')) server.listen(address, BACKLOG, ready);
else server.listen(Number(address), '127.0.0.1', BACKLOG, ready);

function bare() {
  // As long as Fastify keeps connections: nginx's pool, not the server, ends them.
  return createServer({ keepAliveTimeout: 72_000 }, listener);
}

async function withFastify(logger) {
  const fastify = Fastify({ ...options, logger });
  fastify.register(workloads);
  await fastify.ready();
  return fastify.server;
}
