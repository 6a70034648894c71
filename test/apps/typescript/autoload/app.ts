/** Routes that are found by @fastify/autoload, which has to be told that .ts files can be loaded. */
import { join } from 'node:path';
import autoload from '@fastify/autoload';
import type { FastifyInstance } from 'fastify';

export default async function loaded(app: FastifyInstance): Promise<void> {
  app.register(autoload, { dir: join(import.meta.dirname, 'routes') });
}
