// A Hono app as a listener: fasticorn --app-type listener app.js
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';

const app = new Hono();

app.get('/hello/:name', (c) => c.json({ hello: c.req.param('name') }));

app.post('/echo', async (c) => c.json(await c.req.json()));

export default getRequestListener(app.fetch);
