// Several plugins in one module, and options for all of them.
export default async function main(app) {
  app.get('/', async () => 'default');
  app.get('/a', async () => `plugin timeout ${app.initialConfig.pluginTimeout}`);
  app.post('/', async (request) => request.body);
}

export async function admin(app) {
  app.get('/', async () => 'admin');
}

export const options = { bodyLimit: 10 };
export const notAPlugin = 42;
