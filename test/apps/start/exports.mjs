// Several apps in one module, and options for the plugin.
import Fastify from 'fastify';

export default async function main(app) {
  app.get('/', async () => 'default');
  app.get('/a', async () => `plugin timeout ${app.initialConfig.pluginTimeout}`);
  app.post('/', async (request) => request.body);
}

export function admin() {
  const app = Fastify();
  app.get('/', async () => 'admin');
  return app;
}

export const options = { bodyLimit: 10 };
export const notAPlugin = 42;
