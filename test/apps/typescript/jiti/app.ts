/** What Node cannot strip, and jiti runs. */
import type { FastifyInstance } from 'fastify';
import { Colour } from './colour';

export default async function jiti(app: FastifyInstance): Promise<void> {
  app.get('/', async () => `hello jiti, ${Colour[Colour.Green]}`);
  app.get('/throw', async () => {
    throw new TypeError('thrown in TypeScript');
  });
}
