// What test/support/load.ts asks and checks.
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

export default async function echo(app) {
  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, async (_request, body) => body);
  app.get('/', async () => 'hello');
  app.get('/pid', async () => String(process.pid));
  app.get('/token/:token', async (request) => {
    if (request.query.delay > 0) await sleep(Number(request.query.delay));
    return `token ${request.params.token}`;
  });
  app.post('/hash', async (request) => {
    if (request.query.delay > 0) await sleep(Number(request.query.delay));
    return createHash('sha256').update(request.body).digest('hex');
  });
}
