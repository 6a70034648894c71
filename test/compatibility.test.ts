/**
 * Frameworks other than Fastify, and none: each keeps what every app is promised, as a server or listener that we listen
 * for, and as a script that listens by itself.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { download, events, project } from './support/frameworks.ts';
import type { Ask } from './support/load.ts';
import { keepsPromises, type LongAnswer } from './support/promises.ts';

interface Framework {
  ask?: Ask;
  long?: LongAnswer[];
  shapes: { name: string; source: string; args?: string[]; says?: string }[];
}

/** tRPC's procedures take their input, and give their output, as JSON. */
const askTrpc: Ask = async (pool, method, delay) => {
  const token = randomBytes(8).toString('hex');
  const input = encodeURIComponent(JSON.stringify({ token, delay }));
  const { statusCode, body } =
    method === 'GET'
      ? await pool.request({ method, path: `/token?input=${input}` })
      : await pool.request({
          ...{ method, path: '/hash', body: token },
          headers: { 'content-type': 'application/octet-stream' },
        });
  const text = await body.text();
  const data = method === 'GET' ? `token ${token}` : createHash('sha256').update(token).digest('hex');
  return statusCode === 200 && text === JSON.stringify({ result: { data } })
    ? undefined
    : `${method}: ${statusCode} ${text.slice(0, 80)}`;
};

const frameworks: Record<string, Framework> = {
  'Express 5': {
    shapes: [
      { name: 'its app', source: "export { default } from './express.mjs';" },
      {
        name: 'app.listen()',
        source: `import app from './express.mjs';
          const server = app.listen(3000, (error) => {
            if (error) throw error;
            console.log('listening on', server.address().port);
          });`,
        says: 'listening on 3000',
      },
    ],
  },
  'Koa 3': {
    shapes: [
      { name: 'its app', source: "export { default } from './koa.mjs';" },
      {
        name: 'app.callback()',
        source: "export { listener as default } from './koa.mjs';",
        args: ['--app-type', 'listener'],
      },
      {
        name: 'app.listen()',
        source: `import app from './koa.mjs';
          app.listen(3000, '127.0.0.1', function () {
            console.log('listening on', this.address());
          });`,
        says: "listening on { address: '127.0.0.1', family: 'IPv4', port: 3000 }",
      },
    ],
  },
  Hono: {
    shapes: [
      {
        name: 'getRequestListener()',
        source: "export { listener as default } from './hono.mjs';",
        args: ['--app-type', 'listener'],
      },
      {
        name: 'serve()',
        source: `import { serve } from '@hono/node-server';
          import app from './hono.mjs';
          serve({ fetch: app.fetch, port: 3000 }, ({ port }) => console.log('listening on', port));`,
        says: 'listening on 3000',
      },
    ],
  },
  'tRPC 11': {
    ask: askTrpc,
    long: [events],
    shapes: [
      { name: 'createHTTPServer()', source: "export { default } from './trpc.mjs';" },
      { name: 'listen()', source: "import server from './trpc.mjs'; server.listen(3000);" },
    ],
  },
  'NestJS 12 on Fastify': {
    shapes: [
      {
        name: 'a factory',
        source: "export { createApp as default } from './nestjs.mjs';",
        args: ['--app-type', 'factory'],
      },
      {
        name: 'app.listen()',
        source: `import { createApp } from './nestjs.mjs';
          async function bootstrap() {
            const app = await createApp();
            await app.listen(3000);
            console.log('listening on', await app.getUrl());
          }
          bootstrap();`,
        says: 'listening on http://127.0.0.1:3000',
      },
    ],
  },
  'node:http': {
    shapes: [
      { name: 'createServer()', source: "export { default } from './http.mjs';" },
      {
        name: 'a listener',
        source: "export { listener as default } from './http.mjs';",
        args: ['--app-type', 'listener'],
      },
      { name: 'listen()', source: "import server from './http.mjs'; server.listen(3000);" },
    ],
  },
};

for (const [framework, { shapes, ask, long = [download, events] }] of Object.entries(frameworks)) {
  describe(framework, { concurrency: 2 }, () => {
    for (const { name, source, args = [], says = '' } of shapes) {
      it(`as ${name} loses nothing over a reload and a stop`, async (t) => {
        const server = await keepsPromises(t, {
          app: project(t, source),
          args,
          long,
          ...(ask ? { ask } : {}),
        });
        assert.ok(server.stdout.includes(says), server.stdout.slice(0, 500));
      });
    }
  });
}
