// A Koa app as the default export: fasticorn app.js
import { json } from 'node:stream/consumers';
import Koa from 'koa';

const app = new Koa();

app.use(async (ctx) => {
  const name = /^\/hello\/(\w+)$/.exec(ctx.path)?.[1];
  if (ctx.method === 'GET' && name) ctx.body = { hello: name };
  else if (ctx.method === 'POST' && ctx.path === '/echo') ctx.body = await json(ctx.req);
});

export default app;
