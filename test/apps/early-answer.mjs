// Answers an upload before it has arrived, with more than fits a socket's buffers.
import { setTimeout as sleep } from 'node:timers/promises';

export default async function earlyAnswer(app) {
  app.addHook('onRequest', async (request, reply) => {
    request.log.info('early');
    await sleep(300);
    return reply.code(401).send(Buffer.alloc(2 << 20));
  });
  app.post('/', async () => 'never');
}
