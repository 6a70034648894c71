// A Fastify plugin in TypeScript, without a build: fasticorn app.ts
// Node 22.18 and newer run it by themselves, older ones with the tsx of this package.
import type { FastifyPluginAsync } from 'fastify';

const app: FastifyPluginAsync = async (fastify) => {
  fastify.get<{ Params: { name: string } }>('/hello/:name', async (request) => ({
    hello: request.params.name,
  }));

  fastify.post('/echo', async (request) => request.body);
};

export default app;
