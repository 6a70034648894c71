// Has a server beside it, on a port that the system chooses.
import { once } from 'node:events';
import { createServer } from 'node:http';

export default async function withSideServer(app) {
  const aside = createServer((_request, response) => response.end('aside'));
  app.addHook('onReady', async () => {
    await once(aside.listen(0, '127.0.0.1'), 'listening');
  });
  app.addHook('onClose', async () => aside.close());
  app.get('/', async () => String(aside.address().port));
}
