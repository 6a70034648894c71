// The app of the load, which keeps something of every request: LEAK bytes of memory.
import echo from './echo.mjs';

const kept = [];

export default async function leaky(app) {
  app.addHook('onRequest', async () => {
    kept.push(Buffer.alloc(Number(process.env.LEAK), 1));
  });
  await echo(app);
}
