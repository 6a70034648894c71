// Breaks in every way an app can break after it was loaded.
import { setTimeout as sleep } from 'node:timers/promises';

export default async function crashing(app) {
  // Set by a test to have later workers fail while they boot.
  const { existsSync } = await import('node:fs');
  if (process.env.BROKEN_IF && existsSync(process.env.BROKEN_IF)) throw new Error('broken on purpose');

  app.get('/', async () => 'hello');
  app.get('/pid', async () => String(process.pid));
  app.get('/slow', async (request) => {
    await sleep(Number(request.query.ms));
    return 'slow';
  });
  app.get('/uncaught', (_request, reply) => {
    reply.send('the answer came before the error');
    setTimeout(() => {
      throw new Error('thrown in a timer');
    }, 5);
  });
  app.get('/rejection', (_request, reply) => {
    reply.send('the answer came before the error');
    Promise.reject(new Error('rejected and forgotten'));
  });
  app.get('/exit', (_request, reply) => {
    reply.send('bye');
    reply.raw.on('close', () => process.exit(7));
  });
}
