// One app in many shapes.
import { createServer } from 'node:http';
import Fastify from 'fastify';

export default async function plugin(app, options) {
  app.get('/', async () => ({ shape: 'plugin', options }));
  app.decorate('inside', true);
}

export function build(options) {
  const app = Fastify();
  app.get('/', async () => ({ shape: 'factory', options }));
  return app;
}

export async function buildLater(options) {
  return build(options);
}

export const instance = build();
export const promised = buildLater();
export const handler = (_request, response) => response.end('{"shape":"listener"}');
export const makeHandler = () => handler;
export const server = createServer(handler);
export const asPlugin = plugin;
export const nothing = () => {};

// Once its database is there, so to say, it listens as well.
if (process.env.LISTENS_LATER) {
  setTimeout(async () => {
    await instance.listen({ port: 3000 });
    server.listen(3000, () => console.error('listens later'));
  }, 300);
}
