/** `node:http` in processes that inherit a bound socket: what Node itself can do, without a framework or a server. */
import type { Server } from '../model.ts';
import { prefork } from './own-node.ts';

const bareHttp: Server = {
  id: 'bare-http',
  title: 'bare node:http',
  endpoints: ['unix', 'tcp'],
  missing: () => undefined,
  start: prefork('http'),
};

export const servers: readonly Server[] = [bareHttp];
