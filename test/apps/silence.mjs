// An app with limits of its own for the silence of connections, and one answer that does not wait for its request.
import { setTimeout as sleep } from 'node:timers/promises';

export const options = { connectionTimeout: Number(process.env.SILENCE ?? 0) };

export default async function silence(app) {
  app.get('/', async () => 'hello');
  app.get('/never', () => new Promise(() => {}));
  app.get('/patient', async ({ raw }) => {
    raw.socket.setTimeout(0);
    await sleep(1500);
    return 'at last';
  });
  if (process.env.OWN_KEEP_ALIVE)
    app.addHook('onListen', async () => {
      app.server.keepAliveTimeout = Number(process.env.OWN_KEEP_ALIVE);
    });
  app.post('/refused', {
    onRequest: async (_request, reply) => reply.code(401).send('no'),
    handler: async () => 'never',
  });
}
