/**
 * Fastify in processes that inherit a bound socket, and nothing else: no supervision, no log, no clean stop. The
 * baseline, and variants of it that show what a single thing brings or costs.
 */
import { flagsFor } from '../../src/worker/v8-tuning.ts';
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

const lines: Server = {
  ...bareFastify,
  id: 'bare-fastify-lines',
  title: 'bare Fastify, its logger silent, with ready-made lines',
  note: "the least that an access log can cost: a line as long as fasticorn's that is always the same",
  start: prefork('fastify-lines'),
};

// As under load: the others are for a worker that was collected at rest.
const { atReady, onceServing } = flagsFor(process.versions.v8, process.execArgv, false);

const tuned: Server = {
  ...bareFastify,
  id: 'bare-fastify-tuned',
  title: 'bare Fastify with V8 set as by fasticorn',
  note: 'the most that a server can do for such an app, if it costs nothing itself',
  start: prefork('fastify', [...atReady, ...onceServing]),
};

const alone: Server = {
  ...bareFastify,
  id: 'node-app',
  title: 'node app.js',
  note: 'one process, and none of the compiled code that fasticorn keeps',
  start: (site) => startProgram(site, 'serve.mjs', ['fastify', addressOf(site.endpoint)]),
};

export const servers: readonly Server[] = [bareFastify, tuned, silent, lines, withLogger, alone];
