/** A route with an enum, so that only a loader can run it. */
import type { FastifyInstance } from 'fastify';

enum Answer {
  Yes,
}

export default async function root(app: FastifyInstance): Promise<void> {
  app.get('/', async () => `autoloaded ${Answer[Answer.Yes]}`);
}
