/**
 * Fastify in processes that inherit a bound socket, and nothing else: no supervision, no log, no clean stop. The
 * baseline, since it is what fasticorn would be if it cost nothing.
 */
import type { Server } from '../model.ts';
import { addressOf, prefork, startProgram } from './own-node.ts';

const bareFastify: Server = {
  id: 'bare-fastify',
  title: 'bare Fastify',
  endpoints: ['unix', 'tcp'],
  missing: () => undefined,
  start: prefork('fastify'),
};

const withLogger: Server = {
  ...bareFastify,
  id: 'bare-fastify-logger',
  title: 'bare Fastify with its logger',
  note: 'two lines a request, to a file',
  start: prefork('fastify-logger'),
};

const silent: Server = {
  ...bareFastify,
  id: 'bare-fastify-silent',
  title: 'bare Fastify, its logger silent',
  note: 'for an app that can log, and does not',
  start: prefork('fastify-silent'),
};

const alone: Server = {
  ...bareFastify,
  id: 'node-app',
  title: 'node app.js',
  note: 'one process, and none of the compiled code that fasticorn keeps',
  start: (site) => startProgram(site, 'serve.mjs', ['fastify', addressOf(site.endpoint)]),
};

export const servers: readonly Server[] = [bareFastify, withLogger, silent, alone];
