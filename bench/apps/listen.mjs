/**
 * The Fastify app as a program that listens by itself and ends in order, for servers that run such in several processes
 * or threads. Where it is to listen is in the variable LISTEN: a path, or a port of loopback.
 */
import Fastify from 'fastify';
import workloads from './fastify.mjs';

const fastify = Fastify();
fastify.register(workloads);
const where = process.env.LISTEN;
await fastify.listen({
  ...(where.startsWith('/') ? { path: where } : { host: '127.0.0.1', port: Number(where) }),
  backlog: 2048,
});
console.log(`${process.pid} listens`);

/** What ends it in a thread, where there are no signals. */
export const close = () => fastify.close();

for (const signal of ['SIGINT', 'SIGTERM']) {
  // The channel to a master would keep the process alive.
  process.once(signal, () => close().finally(() => process.exit()));
}
