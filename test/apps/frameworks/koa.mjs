// Koa 3, which leaves routes and bodies to others.
import { buffer } from 'node:stream/consumers';
import Koa from 'koa';
import { download, eventStream, hash, token } from './answers.mjs';

const app = new Koa();
app.use(async (ctx) => {
  const [, route, text] = ctx.path.split('/');
  const { delay } = ctx.query;
  if (route === 'token') ctx.body = await token(text, delay);
  else if (route === 'hash') ctx.body = await hash(await buffer(ctx.req), delay);
  else if (route === 'download') ctx.body = download();
  else if (route === 'events') {
    ctx.type = 'text/event-stream';
    ctx.body = eventStream();
  }
});

export default app;
export const listener = app.callback();
