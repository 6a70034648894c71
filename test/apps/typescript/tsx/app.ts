/** What only a loader can run: decorators, an enum, a parameter property, an alias of paths, .js for .ts. */
import type { FastifyInstance } from 'fastify';
import { Colour } from '#lib/colour';
import { Service } from './lib/service.js';

export default async function decorated(app: FastifyInstance): Promise<void> {
  const service = new Service('tsx');
  app.get('/', async () => `hello ${service.name}, ${Colour[Colour.Green]}, ${service.greet()}`);
  app.get('/throw', async () => {
    throw new TypeError('thrown in TypeScript');
  });
  app.get('/spin', async () => spin(0));
}

function spin(turn: number): string {
  while (turn < Number.POSITIVE_INFINITY) {
    Math.sqrt(turn);
  }
  return 'never';
}
