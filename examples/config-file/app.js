// The app that fasticorn.config.ts names.
export default async function app(fastify, _opts) {
  fastify.get('/hello/:name', async (request) => ({ hello: request.params.name }));

  fastify.post('/echo', async (request) => request.body);
}
