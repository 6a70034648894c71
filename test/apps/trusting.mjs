// Believes whom the server that it runs in believes, by the function that its package gives.
import { trustProxy } from '../../dist/index.js';

export const options = { trustProxy };

export default async function trusting(app) {
  app.get('/', async (request) => ({ ip: request.ip }));
}
