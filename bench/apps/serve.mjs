/**
 * `node serve.mjs APP ADDRESS`: one process that serves an app, and nothing around it. APP is `fastify`, `http`,
 * `fastify-logger`, `fastify-silent`, whose logger writes nothing, or `fastify-lines`, which is silent as well and writes
 * the same line for each request; ADDRESS a path, a port of loopback, or `fd:3`, a socket that is bound already. Says
 * `listening`.
 */
import { openSync, writeSync } from 'node:fs';
import Fastify from 'fastify';
import workloads, { options } from './fastify.mjs';

/** As fasticorn and Gunicorn have it. */
const BACKLOG = 2048;

/** The bytes of a line of fasticorn's access log for a small request, and of what it writes at once. */
const LINE = 207;
const ONE_WRITE = 65_536;

/** By app; Fastify has none unless it is said. */
const LOGGERS = {
  'fastify-logger': true,
  'fastify-silent': { level: 'silent' },
  'fastify-lines': { level: 'silent' },
};

const [, , app, address] = process.argv;
const server = app === 'http' ? await bare() : await withFastify(LOGGERS[app]);
if (app === 'fastify-lines') writeLines(server);
const ready = () => console.log('listening');
// Only in this form does Node not replace the backlog by 511.
if (address.startsWith('fd:')) server.listen({ fd: Number(address.slice(3)) }, BACKLOG, ready);
else if (address.startsWith('/')) server.listen(address, BACKLOG, ready);
else server.listen(Number(address), '127.0.0.1', BACKLOG, ready);

async function bare() {
  // Slow to import as ES modules, and a start is measured as well, of an app that does not do so.
  const [{ createServer }, { default: listener }] = await Promise.all([
    import('node:http'),
    import('./http.mjs'),
  ]);
  // As long as Fastify keeps connections: nginx's pool, not the server, ends them.
  return createServer({ keepAliveTimeout: 72_000 }, listener);
}

async function withFastify(logger = false) {
  const fastify = Fastify({ ...options, logger });
  fastify.register(workloads);
  await fastify.ready();
  return fastify.server;
}

/**
 * The least that an access log can cost: lines of the length of fasticorn's, as many in a write as it has there, and no
 * work to make them.
 */
function writeLines(server) {
  const line = `${'-'.repeat(LINE - 1)}\n`;
  const inOneWrite = Math.floor(ONE_WRITE / LINE);
  const lines = Buffer.from(line.repeat(inOneWrite));
  const log = openSync('access.log', 'a');
  let waiting = 0;
  server.on('request', () => {
    if (++waiting < inOneWrite) return;
    writeSync(log, lines);
    waiting = 0;
  });
}
