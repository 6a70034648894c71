/** `node:http` in processes that inherit a bound socket: what Node itself can do, without a framework or a server. */
import type { Server } from '../model.ts';
import { addressOf, startProgram } from './own-node.ts';

const bareHttp: Server = {
  id: 'bare-http',
  title: 'bare node:http',
  endpoints: ['unix', 'tcp'],
  missing: () => undefined,
  start: (site) =>
    startProgram(site, 'prefork.mjs', [String(site.workers), 'http', addressOf(site.endpoint)]),
};

export const servers: readonly Server[] = [bareHttp];
