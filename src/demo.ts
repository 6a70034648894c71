/**
 * The app that `npm start` and `docker compose up` serve: an ordinary Fastify plugin, as a user would write one.
 * It knows nothing about workers or sockets beyond what any app sees.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { WebSocketServer } from 'ws';

export default async function demo(app: FastifyInstance): Promise<void> {
  app.get('/', async (request, reply) => {
    const facts = describe(request);
    reply.header('vary', 'accept');
    if (!request.headers.accept?.includes('text/html')) {
      return reply.type('application/json').send(`${JSON.stringify(facts, null, 2)}\n`);
    }
    reply.header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'");
    return reply.type('text/html; charset=utf-8').send(page(facts));
  });

  app.get('/healthz', async () => ({ status: 'ok' }));

  const ms = { type: 'integer', minimum: 0, maximum: 60_000, default: 1000 };
  app.get<{ Querystring: { ms: number } }>(
    '/slow',
    { schema: { querystring: { type: 'object', properties: { ms } } } },
    async (request) => {
      await sleep(request.query.ms);
      return { worker: process.pid, waited: request.query.ms };
    },
  );

  app.register(echo);
  webSocketEcho(app);
}

/** Which worker answers, the request as it arrived here, and the way it came. */
function describe(request: FastifyRequest) {
  const { id, method, url, ip, protocol, host } = request;
  const address = request.server.server.address();
  return {
    worker: process.pid,
    request: { id, method, url, ip, protocol, host },
    upstream: {
      // Nobody else sets this header: nginx overwrites what a client sends.
      through: request.headers['x-forwarded-for'] === undefined ? 'no proxy' : 'nginx',
      socket: typeof address === 'object' ? `${address?.address}:${address?.port}` : address,
    },
  };
}

/** `/echo` sends any body back as it came. */
async function echo(app: FastifyInstance): Promise<void> {
  // The handler reads the body itself; so a GET may have one, and there is no limit to its size.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  app.all('/echo', async (request, reply) => {
    const body = await received(request.raw);
    // A page that somebody else's form posts here must not run as ours.
    reply.header('content-security-policy', 'sandbox');
    return reply.type(request.headers['content-type'] ?? 'application/octet-stream').send(body);
  });
}

/**
 * The body once all of it is there, held in a file that is gone when it has been read. nginx sends no more of a
 * request once the answer has begun, so an echo that began at once would wait for ever for the rest of a long body.
 */
async function received(body: Readable): Promise<Readable> {
  const path = join(tmpdir(), `echo-${randomUUID()}`);
  try {
    await pipeline(body, createWriteStream(path, { flags: 'wx', mode: 0o600 }));
    const file = createReadStream(path);
    await once(file, 'open');
    return file;
  } finally {
    await rm(path, { force: true });
  }
}

/** `/ws` sends every WebSocket message back. */
function webSocketEcho(app: FastifyInstance): void {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 1024 * 1024 });

  sockets.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on('error', (error) => app.log.info({ err: error }, 'WebSocket failed'));
  });

  app.server.on('upgrade', (request: IncomingMessage, connection: Duplex, head: Buffer) => {
    if (request.url?.split('?')[0] === '/ws') {
      sockets.handleUpgrade(request, connection, head, (socket) => sockets.emit('connection', socket));
    } else {
      connection.on('error', () => connection.destroy());
      connection.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', () =>
        connection.destroy(),
      );
    }
  });

  app.addHook('preClose', async () => {
    for (const socket of sockets.clients) {
      socket.close(1001, 'the server is stopping');
      // One that does not say goodbye must not hold up the stop.
      setTimeout(() => socket.terminate(), 1000).unref();
    }
  });
}

const html = (value: unknown): string =>
  String(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** The facts for people. */
function page({ worker, request, upstream }: ReturnType<typeof describe>): string {
  const rows = Object.entries({ ...request, 'came through': upstream.through, socket: upstream.socket });
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>fasticorn: worker ${worker}</title>
<style>
  :root { color-scheme: light dark; --line: light-dark(#ddd, #333); --accent: light-dark(#0a7d55, #4fd1a5) }
  body { font: 16px/1.6 system-ui, sans-serif; max-width: 38rem; margin: 12vh auto; padding: 0 1.5rem }
  h1 { font-weight: 600; font-size: 2.2rem; line-height: 1.2; margin: 0 0 .5rem }
  h1 b, a { color: var(--accent) }
  table { width: 100%; margin: 2rem 0; border-collapse: collapse }
  th, td { padding: .5rem 0; border-top: 1px solid var(--line); text-align: left; vertical-align: top }
  th { width: 9rem; font-weight: 400; opacity: .65 }
  td { font-family: ui-monospace, monospace; font-size: .9rem; overflow-wrap: anywhere }
</style>
<h1>Worker <b>${worker}</b> answered.</h1>
<p>It is one of several processes that run this Fastify app. Reload, and another one may answer.</p>
<table>
${rows.map(([name, value]) => `  <tr><th>${html(name)}<td>${html(value)}`).join('\n')}
</table>
<p>Try also <a href="/healthz">/healthz</a>, <a href="/slow?ms=1000">/slow?ms=1000</a>,
and with a client of your own <code>/echo</code> and the WebSocket <code>/ws</code>.</p>
</html>
`;
}
