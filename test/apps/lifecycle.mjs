// Requests of every length, and hooks that leave a mark in the file that MARKS names.
import { appendFileSync, existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocketServer } from 'ws';

const mark = (text) => appendFileSync(process.env.MARKS, `${text}\n`);

export default async function lifecycle(app) {
  app.get('/', async () => 'hello');
  app.get('/pid', async () => String(process.pid));
  app.get('/slow', async (request) => {
    mark('slow');
    await sleep(Number(request.query.ms));
    return 'slow';
  });
  // Until that file is there.
  app.get('/held', async (request) => {
    while (!existsSync(request.query.until)) await sleep(10);
    return 'held';
  });
  app.post('/body', async (request) => request.body);
  app.get('/never', () => {
    mark('never');
    return new Promise(() => {});
  });
  app.get('/block', async (request) => {
    mark('block');
    while (!existsSync(request.query.until));
    return 'blocked';
  });
  app.get('/events', (_request, reply) => {
    reply.hijack();
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' });
    reply.raw.write('data: first\n\n');
  });

  const sockets = new WebSocketServer({ server: app.server, path: '/ws' });
  app.addHook('preClose', async () => {
    for (const client of sockets.clients) client.close(1001);
  });
  app.addHook('onClose', async () => {
    mark('onClose');
    if (process.env.HANG_ON_CLOSE) await new Promise(() => {});
  });
}
