// Fastify in each of its shapes: a plugin, a factory, an instance and a promise of one.
import Fastify from 'fastify';
import { download, eventStream, hash, token } from './answers.mjs';

export default async function plugin(app, opts) {
  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, async (_request, body) => body);
  app.get('/token/:token', (request) => token(request.params.token, request.query.delay));
  app.post('/hash', (request) => hash(request.body, request.query.delay));
  app.get('/download', (_request, reply) => reply.type('application/octet-stream').send(download()));
  app.get('/events', (_request, reply) => reply.type('text/event-stream').send(eventStream()));
  app.get('/options', async () => opts);
}

/** A factory. */
export function build(options) {
  const app = Fastify(options.fastify);
  app.register(plugin, options);
  return app;
}
