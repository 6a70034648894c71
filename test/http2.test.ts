/**
 * `--http2`: which apps speak it, what the access log and the limits make of streams, and that a reload and a stop lose
 * none.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { connect as dialSocket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import { connect as dialTls } from 'node:tls';
import { Pool } from 'undici';
import { fasticorn } from './support/command.ts';
import { readyWorkers } from './support/control.ts';
import { fetchFrom, startOnPort } from './support/http.ts';
import { freePort } from './support/port.ts';
import { app, type Server, startServer, temporaryDirectory, until } from './support/server.ts';
import { pair, tlsFlags } from './support/tls.ts';

const first = pair('first');
const flags = [...tlsFlags(first), '--http2', '-w', '1'];
const trusting = { ca: first.ca, servername: 'localhost' };

function dial(t: TestContext, port: number): ClientHttp2Session {
  const session = connect(`https://127.0.0.1:${port}`, trusting);
  t.after(() => session.destroy());
  return session;
}

async function answerTo(stream: ClientHttp2Stream): Promise<{ status: number; body: string }> {
  stream.end();
  const [headers] = await once(stream, 'response');
  return { status: headers[':status'], body: await text(stream) };
}

const get = (session: ClientHttp2Session, path: string, headers = {}) =>
  answerTo(session.request({ ':path': path, ...headers }));

/**
 * Two requests at a time on one session after the other, each answer checked, until it is told to stop. What has not
 * been sent when the server says goodbye is sent again on a new session, as RFC 9113, 8.7 has it.
 */
async function use(
  name: string,
  port: number,
  signal: AbortSignal,
): Promise<{ good: number; bad: string[] }> {
  const result = { good: 0, bad: [] as string[] };
  let session: ClientHttp2Session | undefined;
  const ask = async (token: string): Promise<void> => {
    // Node closes it for new streams when the server says goodbye.
    if (!session || session.closed || session.destroyed) {
      session = connect(`https://127.0.0.1:${port}`, trusting);
      session.on('error', (error) => result.bad.push(`session: ${error.message}`));
    }
    try {
      const { body } = await get(session, `/token/${token}?delay=5`);
      if (body === `token ${token}`) result.good++;
      else result.bad.push(body);
    } catch (error) {
      if (/REFUSED_STREAM/.test((error as Error).message)) return ask(token);
      result.bad.push((error as Error).message);
    }
  };
  for (let count = 0; !signal.aborted; count++) {
    await Promise.all([ask(`${name}-${count}-a`), ask(`${name}-${count}-b`)]);
  }
  session?.close();
  return result;
}

async function overHttp1(port: number, path: string): Promise<string> {
  const pool = new Pool(`https://127.0.0.1:${port}`, { connect: trusting, allowH2: false });
  const { body } = await pool.request({ method: 'GET', path });
  const answer = await body.text();
  await pool.destroy();
  return answer;
}

async function logged(server: Server, count: number) {
  await until(() => server.accessLog().length >= count, `${count} lines`);
  return server.accessLog();
}

describe('With --http2', () => {
  it('a plugin speaks it, and HTTP/1.1 with those who do not, and on a Unix socket', async (t) => {
    const socket = join(temporaryDirectory(t), 'app.sock');
    const port = await freePort();
    const binds = ['-b', `127.0.0.1:${port}`, '-b', `unix:${socket}`];
    const server = await startServer(t, app('mirror.mjs'), [...binds, ...flags], { socket });
    const session = dial(t, port);
    const seen = JSON.parse((await get(session, '/', { 'x-forwarded-for': '6.6.6.6' })).body);
    assert.deepEqual([seen.protocol, seen.ip, seen.headers[':path']], ['https', '127.0.0.1', '/']);
    assert.equal(seen.headers['x-forwarded-for'], undefined);
    const old = JSON.parse(await overHttp1(port, '/'));
    assert.deepEqual([old.protocol, old.ip, old.headers[':path']], ['https', '127.0.0.1', undefined]);
    assert.equal((await fetchFrom({ socketPath: socket }, '/')).json().protocol, 'http');
    for (const { status, remoteAddress, bytes } of await logged(server, 3))
      assert.deepEqual([status, remoteAddress, Number(bytes) > 100], [200, '127.0.0.1', true]);
    session.close();
    assert.equal(await server.stop(), 0);
  });

  it('so does a (req, res) listener', async (t) => {
    const { target } = await startOnPort(t, app('versions.mjs'), [...flags, '--app-type', 'listener']);
    assert.equal((await get(dial(t, target.port), '/x')).body, '2.0 /x true');
    assert.equal(await overHttp1(target.port, '/x'), '1.1 /x true');
  });

  it('an app that makes its own server for HTTP/1 does not, and is told so', async (t) => {
    const port = await freePort();
    const { code, stderr } = await fasticorn(t, ['-b', `127.0.0.1:${port}`, ...flags, app('own-server.mjs')]);
    assert.equal(code, 4, stderr);
    assert.match(stderr, /--http2 is for apps whose server we make/);
  });

  it('an app may have a server for HTTP/1 beside it that gets nothing of ours', async (t) => {
    const { target } = await startOnPort(t, app('side-server.mjs'), flags);
    const session = dial(t, target.port);
    const port = Number((await get(session, '/')).body);
    assert.equal((await fetchFrom({ port }, '/')).body, 'aside');
    session.close();
  });

  it('there has to be a certificate', async (t) => {
    const { code, stderr } = await fasticorn(t, ['--http2', '--check-config', app('plain.mjs')]);
    assert.equal(code, 1);
    assert.match(stderr, /--http2: true is not valid: expected --certfile and --keyfile with it/);
  });
});

describe('A stream', () => {
  it('that is refused, left by its client, or takes too long does not concern the others', async (t) => {
    const args = [...flags, '--limit-request-line', '100', '--request-timeout', '1'];
    const { server, target } = await startOnPort(t, app('answers.mjs'), args);
    const session = dial(t, target.port);
    const [long, left, never, endless] = [
      get(session, `/${'a'.repeat(200)}`),
      session.request({ ':path': '/endless?left' }),
      get(session, '/never'),
      session.request({ ':path': '/endless' }),
    ];
    await once(left, 'response');
    left.close(constants.NGHTTP2_CANCEL);
    assert.equal((await long).status, 414);
    assert.equal((await never).status, 503);
    endless.on('error', () => {});
    await once(endless.resume(), 'close');
    assert.equal((await get(session, '/')).body, 'hello');
    const lines = await logged(server, 5);
    const statuses = Object.fromEntries(lines.map(({ url, status }) => [String(url).slice(0, 15), status]));
    assert.deepEqual(statuses, {
      '/aaaaaaaaaaaaaa': 414,
      '/endless?left': 499,
      '/never': 503,
      '/endless': 200,
      '/': 200,
    });
    const gone = dial(t, target.port);
    const lost = gone.request({ ':path': '/endless?lost' });
    lost.on('error', () => {});
    await once(lost, 'response');
    gone.destroy();
    assert.equal((await logged(server, 6)).at(-1)!.status, 499);
    assert.equal(server.accessLog().at(-1)!.remoteAddress, '127.0.0.1');
    session.close();
    assert.equal(await server.stop(), 0);
  });
});

describe('A stream that an app answers itself', () => {
  it('is logged with the status that it got', async (t) => {
    const server = await startServer(t, app('streams.mjs'), ['-w', '1']);
    const session = connect('http://localhost', { createConnection: () => dialSocket(server.socket) });
    t.after(() => session.destroy());
    assert.deepEqual(await get(session, '/'), { status: 201, body: 'made' });
    assert.deepEqual(
      (await logged(server, 1)).map(({ url, status }) => [url, status]),
      [['/', 201]],
    );
  });
});

describe('A server that takes streams as such', () => {
  const file = app('script/http2-streams.mjs');

  /** A session without TLS, on the Unix socket. */
  function dialIn(t: TestContext, { socket }: Server): ClientHttp2Session {
    const session = connect('http://localhost', { createConnection: () => dialSocket(socket) });
    t.after(() => session.destroy());
    return session;
  }

  /** The answer to a path, and what its trailers say. */
  async function answerWithTrailers(session: ClientHttp2Session, path: string): Promise<string[]> {
    const stream = session.request({ ':path': path });
    const trailers = once(stream, 'trailers');
    const body = await text(stream);
    return [body, String((await trailers)[0]['grpc-status'])];
  }

  it('answers them alone, with trailers and as tunnels, and they are logged', async (t) => {
    const server = await startServer(t, file, ['-w', '1']);
    const [worker] = server.workers();
    const session = dialIn(t, server);
    for (const path of ['/one', '/two'])
      assert.deepEqual(await answerWithTrailers(session, path), [`answer to ${path}`, '0']);
    const tunnel = session.request({ ':method': 'CONNECT', ':authority': 'example.com:80' });
    const [headers] = await once(tunnel, 'response');
    assert.equal(headers[':status'], 200);
    tunnel.end('through it');
    assert.equal(await text(tunnel), 'through it');
    const lines = await logged(server, 3);
    assert.deepEqual(
      lines.map(({ method, url, status }) => [method, url, status]),
      [
        ['GET', '/one', 200],
        ['GET', '/two', 200],
        ['CONNECT', '', 200],
      ],
    );
    assert.deepEqual(server.workers(), [worker]);
    session.close();
    assert.equal(await server.stop(), 0);
  });

  it('believes nobody on TCP who says for whom they come', async (t) => {
    const { server, target } = await startOnPort(t, file, ['-w', '1']);
    const session = connect(`http://127.0.0.1:${target.port}`);
    t.after(() => session.destroy());
    const stream = session.request({ ':path': '/', 'x-forwarded-for': '6.6.6.6', 'x-request-id': 'forged' });
    assert.equal(await text(stream), 'answer to /');
    const [line] = await logged(server, 1);
    assert.deepEqual([line!.reqId, line!.remoteAddress], ['', '127.0.0.1']);
    session.close();
  });

  it('finishes them before it stops, also when there is one second left', async (t) => {
    for (const signal of ['SIGTERM', 'SIGQUIT'] as const) {
      const server = await startServer(t, file, ['-w', '1']);
      const answer = answerWithTrailers(dialIn(t, server), '/slow');
      await until(() => server.stderr.includes('slow begins'), 'the stream');
      server.kill(signal);
      assert.deepEqual(await answer, ['answer to /slow', '0']);
      assert.equal((await server.exited).code, 0);
    }
  });
});

describe('A limit to fields', () => {
  it('does not count what stands for the request line', async (t) => {
    const args = [...flags, '--limit-request-fields', '2', '--limit-request-field-size', '100'];
    const { target } = await startOnPort(t, app('answers.mjs'), args);
    const session = dial(t, target.port);
    assert.equal((await get(session, '/', { one: '1', two: '2' })).status, 200);
    assert.equal((await get(session, '/', { one: '1', two: '2', three: '3' })).status, 431);
    assert.equal((await get(session, `/?${'a'.repeat(200)}`)).status, 200);
    assert.equal((await get(session, '/', { one: '1'.repeat(100) })).status, 431);
    session.close();
  });

  it('has what asks for a tunnel refused as any other stream', async (t) => {
    const { server, target } = await startOnPort(t, app('answers.mjs'), [
      ...flags,
      ...['--limit-request-field-size', '100'],
    ]);
    const session = dial(t, target.port);
    const tunnel = { ':method': 'CONNECT', ':authority': 'far:1' };
    const refused = await answerTo(session.request({ ...tunnel, one: '1'.repeat(100) }));
    assert.deepEqual([refused.status, JSON.parse(refused.body).statusCode], [431, 431]);
    // As Node answers where the app does not listen for it.
    assert.equal((await answerTo(session.request(tunnel))).status, 405);
    const seen = (await logged(server, 2)).map(({ method, status }) => `${method} ${status}`);
    assert.deepEqual(seen, ['CONNECT 431', 'CONNECT 405']);
    session.close();
  });
});

describe('A reload and a stop', () => {
  it('lose no request on HTTP/2', async (t) => {
    const { server, target } = await startOnPort(t, app('echo.mjs'), flags);
    const ending = new AbortController();
    const clients = Array.from({ length: 4 }, (_, index) => use(`c${index}`, target.port, ending.signal));
    for (let round = 2; round < 5; round++) {
      server.kill('SIGHUP');
      await until(
        () => server.log().some(({ msg }) => msg.startsWith(`generation ${round} serves`)),
        `generation ${round}`,
      );
    }
    ending.abort();
    for (const { good, bad } of await Promise.all(clients)) {
      assert.deepEqual(bad, []);
      assert.ok(good > 20, `${good}`);
    }
    assert.equal(await server.stop(), 0);
    const urls = server.accessLog().map(({ url }) => url);
    assert.equal(new Set(urls).size, urls.length, 'none was answered twice');
  });

  it('say goodbye, finish what has begun, and end sessions that nobody uses', async (t) => {
    const { server, target } = await startOnPort(t, app('echo.mjs'), flags);
    const [busy, idle] = [dial(t, target.port), dial(t, target.port)];
    assert.equal((await get(idle, '/')).body, 'hello');
    const goodbyes = Promise.all([once(busy, 'goaway'), once(idle, 'goaway')]);
    const slow = get(busy, '/token/x?delay=2000');
    assert.equal((await get(busy, '/')).body, 'hello');
    server.kill('SIGTERM');
    await goodbyes;
    assert.equal((await slow).body, 'token x');
    assert.equal((await server.exited).code, 0);
    assert.ok(!server.log().some(({ msg }) => /had to be cut/.test(msg)));
    assert.equal((await logged(server, 3)).length, 3);
  });
});

describe('A client that just goes', () => {
  it('is noticed on HTTP/2 as well, over TLS and on every --bind', async (t) => {
    const port = await freePort();
    const directory = temporaryDirectory(t);
    const start = (name: string, args: string[]) => {
      const socket = join(directory, `${name}.sock`);
      return startServer(t, app(name), [...args, '-b', `unix:${socket}`, '-w', '1'], { socket });
    };
    const encrypted = await start('answers.mjs', [...flags, '-b', `127.0.0.1:${port}`]);
    const further = await start('streams.mjs', [
      '-b',
      `unix:${join(directory, 'first.sock')}`,
      '--control-socket',
      join(directory, 'streams.mjs.sock.ctl'),
    ]);
    const alpn = { ALPNProtocols: ['h2'], ...trusting };
    for (const [server, socket] of [
      [encrypted, dialTls({ port, ...alpn })],
      [further, dialSocket(further.socket)],
    ] as const) {
      const session = connect('http://localhost', { createConnection: () => socket });
      t.after(() => session.destroy());
      await get(session, '/');
      const connections = async () => (await readyWorkers(server))[0]?.connections;
      await until(async () => (await connections()) === 1, 'the connection to be counted');
      socket.destroy();
      await until(async () => (await connections()) === 0, 'its end to be noticed');
      assert.equal(await server.stop(), 0);
    }
  });
});

describe('A session that nobody uses', () => {
  it('is closed after --keep-alive, and none with an open stream is', async (t) => {
    const args = [...flags, '--keep-alive', '0.2'];
    const { server, target } = await startOnPort(t, app('answers.mjs'), args);
    const used = dial(t, target.port);
    const endless = used.request({ ':path': '/endless' });
    await once(endless, 'response');
    for (let round = 0; round < 2; round++) {
      const session = dial(t, target.port);
      assert.equal((await get(session, '/')).body, 'hello');
      await once(session, 'close');
    }
    assert.deepEqual([used.closed, endless.closed], [false, false]);
    used.destroy();
    assert.equal(await server.stop(), 0);
  });

  it('is closed by nobody else: not by Fastify either, whose own limit is 72 s', async (t) => {
    const file = join(temporaryDirectory(t), 'app.mjs');
    writeFileSync(
      file,
      "export default async (app) => app.get('/', () => String(app.initialConfig.http2SessionTimeout));",
    );
    const { target } = await startOnPort(t, file, flags);
    assert.equal((await get(dial(t, target.port), '/')).body, '0');
  });

  it('is closed for an app that answers streams itself', async (t) => {
    const server = await startServer(t, app('streams.mjs'), ['-w', '1', '--keep-alive', '0.2']);
    const session = connect('http://localhost', { createConnection: () => dialSocket(server.socket) });
    t.after(() => session.destroy());
    assert.equal((await get(session, '/')).status, 201);
    await once(session, 'close');
  });
});
