/**
 * Every workload as a Fastify plugin, with response schemas, as a good user of Fastify has them. All servers for Node
 * run this one, but for bare `node:http`.
 */
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { chunks, few, hello, many, wait, workNowAndThen } from './work.mjs';

const object = (properties) => ({ response: { 200: { type: 'object', properties } } });

const helloSchema = object({ hello: { type: 'string' } });
const recordsSchema = object({
  items: {
    type: 'array',
    items: {
      type: 'object',
      properties: {
        id: { type: 'integer' },
        name: { type: 'string' },
        price: { type: 'integer' },
        isInStock: { type: 'boolean' },
        tags: { type: 'array', items: { type: 'string' } },
        owner: { type: 'string' },
      },
    },
  },
});

/** What the Fastify instance is made with; fasticorn gives it a logger otherwise. */
export const options = {
  bodyLimit: 2 * 1024 * 1024,
  ...(process.env.APP_LOGGER === 'off' ? { logger: false } : {}),
};

/** How long it takes to be ready, in seconds, as if it had a database to wait for. */
const loads = Number(process.env.APP_LOADS ?? 0);

// fastify-cli takes only plugins with two parameters.
export default async function workloads(app, _options) {
  if (loads > 0) await sleep(loads * 1000);
  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  );
  app.get('/', { schema: helloSchema }, async () => hello);
  app.get('/json/1k', { schema: recordsSchema }, async () => few);
  app.get('/json/100k', { schema: recordsSchema }, async () => many);
  app.post('/upload', { schema: object({ bytes: { type: 'integer' } }) }, async ({ body }) => ({
    bytes: body.length,
  }));
  app.get('/download', async (_request, reply) =>
    reply.type('application/octet-stream').send(Readable.from(chunks(), { objectMode: false })),
  );
  app.get('/wait', { schema: helloSchema }, async () => {
    await wait();
    return hello;
  });
  app.get('/mixed', { schema: helloSchema }, async () => {
    workNowAndThen();
    return hello;
  });
  app.get('/pid', async () => ({ pid: process.pid }));
}
