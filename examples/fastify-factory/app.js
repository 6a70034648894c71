// A function that builds the server: fasticorn --app-options options.json app.js:buildServer
import Fastify from 'fastify';

export async function buildServer({ greeting, ...options }) {
  const app = Fastify(options);

  app.get('/hello/:name', async (request) => ({ [greeting]: request.params.name }));

  app.post('/echo', async (request) => request.body);

  return app;
}
