// The app of the load, which logs a line of its own for every request.
import echo from './echo.mjs';

export default async function noting(app) {
  app.addHook('onRequest', async (request) => request.log.info('noted'));
  await echo(app);
}
