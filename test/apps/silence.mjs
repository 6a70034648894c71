// An app that lets its connections be silent for so long only, and one answer that does not wait for its request.
export const options = { connectionTimeout: Number(process.env.SILENCE ?? 0) };

export default async function silence(app) {
  app.get('/', async () => 'hello');
  app.get('/never', () => new Promise(() => {}));
  app.post('/refused', {
    onRequest: async (_request, reply) => reply.code(401).send('no'),
    handler: async () => 'never',
  });
}
