// Hono on its adapter for Node.
import { Readable } from 'node:stream';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import { download, events, hash, token } from './answers.mjs';

const app = new Hono();
app.get('/token/:token', async (c) => c.text(await token(c.req.param('token'), c.req.query('delay'))));
app.post('/hash', async (c) =>
  c.text(await hash(Buffer.from(await c.req.arrayBuffer()), c.req.query('delay'))),
);
app.get('/download', (c) => c.body(Readable.toWeb(download())));
app.get('/events', (c) =>
  streamSSE(c, async (stream) => {
    for await (const number of events()) await stream.writeSSE({ data: String(number) });
  }),
);

export default app;
export const listener = getRequestListener(app.fetch);
