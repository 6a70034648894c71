/** Types that Node can strip, and an error whose line is asked for. */
import type { FastifyInstance } from 'fastify';
import { greeting } from './greeting.ts';

interface Query {
  name?: string;
}

export default async function plain(app: FastifyInstance): Promise<void> {
  app.get<{ Querystring: Query }>('/', async ({ query }) => greeting(query.name ?? 'plain'));
  app.get('/throw', async () => {
    throw new TypeError('thrown in TypeScript');
  });
}
