// Refuses uploads without reading them: by Fastify's limit, and before that by hooks.
const refuse = async (_request, reply) => reply.code(401).send({ error: 'no' });
const refuseAndClose = async (_request, reply) =>
  reply.code(401).header('connection', 'close').send({ error: 'no' });
const never = async () => 'never';

export default async function refusing(app) {
  app.post('/limited', { bodyLimit: 1024 }, never);
  app.post('/hooked', { onRequest: refuse }, never);
  app.post('/closing', { onRequest: refuseAndClose }, never);
}
