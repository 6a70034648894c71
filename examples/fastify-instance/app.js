// A Fastify instance as the default export: fasticorn app.js
import Fastify from 'fastify';

const app = Fastify({ logger: true });

app.get('/hello/:name', async (request) => ({ hello: request.params.name }));

app.post('/echo', async (request) => request.body);

export default app;
