/** Every server there is, in the order of tables. */
import type { Server } from '../model.ts';
import { servers as bareFastify } from './bare-fastify.ts';
import { servers as bareHttp } from './bare-http.ts';
import { servers as fasticorn } from './fasticorn.ts';
import { servers as fastifyCli } from './fastify-cli.ts';
import { servers as gunicorn } from './gunicorn.ts';
import { servers as nginxReturn } from './nginx-return.ts';
import { servers as nodeCluster } from './node-cluster.ts';
import { servers as pm2 } from './pm2.ts';
import { servers as uvicorn } from './uvicorn.ts';
import { servers as watt } from './watt.ts';

export const servers: readonly Server[] = [
  fasticorn,
  bareFastify,
  bareHttp,
  nodeCluster,
  fastifyCli,
  pm2,
  watt,
  gunicorn,
  uvicorn,
  nginxReturn,
].flat();
