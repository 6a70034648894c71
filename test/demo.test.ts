/** The demo app, served by the real server. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { fetchFrom } from './support/http.ts';
import { startServer } from './support/server.ts';

const demo = fileURLToPath(new URL('../dist/demo.js', import.meta.url));

describe('The demo app', () => {
  it('says to curl, as JSON, which worker answered and what it saw', async (t) => {
    const server = await startServer(t, demo);
    const headers = { host: 'shop.example', 'x-forwarded-for': '203.0.113.7', 'x-request-id': 'the-id' };
    const answer = await fetchFrom({ socketPath: server.socket }, '/', { headers });
    assert.match(answer.headers['content-type']!, /^application\/json/);
    const { worker, request, upstream } = answer.json<{
      worker: number;
      request: object;
      upstream: object;
    }>();
    assert.ok(server.workers().includes(worker));
    assert.deepEqual(request, {
      id: 'the-id',
      method: 'GET',
      url: '/',
      ip: '203.0.113.7',
      protocol: 'http',
      host: 'shop.example',
    });
    assert.deepEqual(upstream, { through: 'nginx', socket: server.socket });
  });

  it('says the same to a browser, as a page in which nothing of a request is markup', async (t) => {
    const { socket } = await startServer(t, demo);
    const script = '<script>alert("x")</script>';
    const answer = await fetchFrom({ socketPath: socket }, `/?${script}`, {
      headers: {
        accept: 'text/html,application/xhtml+xml',
        host: script,
        'user-agent': script,
        'x-request-id': script,
        'x-forwarded-for': script,
        'x-forwarded-host': script,
        'x-forwarded-proto': script,
      },
    });
    assert.match(answer.headers['content-type']!, /^text\/html/);
    assert.match(answer.body, /Worker <b>\d+<\/b> answered/);
    assert.match(answer.body, /alert/);
    assert.doesNotMatch(answer.body, /<script/i);
  });

  it('is healthy', async (t) => {
    const { socket } = await startServer(t, demo);
    const answer = await fetchFrom({ socketPath: socket }, '/healthz');
    assert.deepEqual([answer.status, answer.json()], [200, { status: 'ok' }]);
  });

  it('sends 50 MB back as they came', async (t) => {
    const { socket } = await startServer(t, demo);
    const sent = createHash('sha256');
    const received = createHash('sha256');
    const outgoing = request({
      socketPath: socket,
      path: '/echo',
      method: 'POST',
      headers: { 'content-type': 'a/b' },
    });
    const block = randomBytes(1024 * 1024);
    const answered = once(outgoing, 'response');
    for (let n = 0; n < 50; n++) {
      block[0] = n;
      sent.update(block);
      if (!outgoing.write(Buffer.from(block))) await once(outgoing, 'drain');
    }
    outgoing.end();
    const [answer] = (await answered) as [IncomingMessage];
    for await (const chunk of answer) received.update(chunk);
    assert.equal(answer.headers['content-type'], 'a/b');
    assert.equal(received.digest('hex'), sent.digest('hex'));
  });

  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    it(`sends the body of a ${method} back, whatever its type`, async (t) => {
      const { socket } = await startServer(t, demo);
      for (const type of ['application/json', 'text/plain', 'x/y']) {
        const headers = { 'content-type': type, 'content-length': 5 };
        const answer = await fetchFrom({ socketPath: socket }, '/echo', { method, headers, body: '{odd}' });
        assert.deepEqual([answer.status, answer.body], [200, '{odd}']);
      }
    });
  }

  it('sends WebSocket messages back, text as text and bytes as bytes', async (t) => {
    const { socket } = await startServer(t, demo);
    const client = new WebSocket(`ws+unix:${socket}:/ws`);
    await once(client, 'open');
    for (const message of ['grüße', Buffer.from([0, 255, 1])]) {
      client.send(message);
      const [data, isBinary] = (await once(client, 'message')) as [Buffer, boolean];
      assert.deepEqual([data, isBinary], [Buffer.from(message), typeof message !== 'string']);
    }
    client.close();
    await once(client, 'close');
  });

  it('refuses a WebSocket anywhere else', async (t) => {
    const { socket } = await startServer(t, demo);
    const [error] = await once(new WebSocket(`ws+unix:${socket}:/elsewhere`), 'error');
    assert.match(String(error), /404/);
  });

  it('is slow when asked, but not for ever', async (t) => {
    const { socket } = await startServer(t, demo);
    const ask = (query: string) => fetchFrom({ socketPath: socket }, `/slow?${query}`);
    assert.equal((await ask('ms=1')).json().waited, 1);
    for (const query of ['ms=60001', 'ms=-1', 'ms=x', 'ms=1e9'])
      assert.equal((await ask(query)).status, 400, query);
  });

  it('knows nothing else', async (t) => {
    const { socket } = await startServer(t, demo);
    assert.equal((await fetchFrom({ socketPath: socket }, '/nothing')).status, 404);
  });
});
