// Fails in the way that the file named by TROUBLE says; serves what test/support/load.ts asks if that is empty.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import echo from './echo.mjs';

const over = async () => {
  while (!existsSync(`${process.env.TROUBLE}.over`)) await sleep(20);
};

/** Whether nobody else has been the first yet. */
function isFirst() {
  try {
    mkdirSync(`${process.env.TROUBLE}.first`);
    return true;
  } catch {
    return false;
  }
}

export default async function trouble(app) {
  const [what, value] = readFileSync(process.env.TROUBLE, 'utf8').split(' ');
  if (what === 'throw') throw new Error('thrown on purpose');
  if (what === 'hang') await new Promise(() => {});
  if (what === 'slow') await sleep(Number(value));
  // One serves, and the other one only when that is over.
  if (what === 'one' && !isFirst()) {
    app.addHook('onListen', async () => writeFileSync(`${process.env.TROUBLE}.second`, ''));
    await over();
  }
  if (what === 'die') app.addHook('onListen', async () => setTimeout(() => process.exit(3), 50));
  await echo(app);
  app.get('/version', async () => value ?? 'fine');
  app.get('/held', async () => {
    await over();
    return 'held';
  });
  app.get('/slow', async (request) => {
    await sleep(Number(request.query.ms));
    return 'slow';
  });
}
