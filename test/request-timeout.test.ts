/**
 * Requests that take too long: what their clients get, and what the app may still do with them. In one process, with
 * a real server.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createReadStream, writeFileSync } from 'node:fs';
import http, { type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, it, type TestContext } from 'node:test';
import fastify from 'fastify';
import { pino } from 'pino';
import { Connections } from '../src/worker/connections.ts';
import { enforceRequestTimeout } from '../src/worker/request-timeout.ts';
import { exchange, fetchFrom, open } from './support/http.ts';
import { RawConnection } from './support/raw.ts';
import { temporaryDirectory, until } from './support/server.ts';

/** In seconds; long enough for an app to do what it does before. */
const TIMEOUT = 0.2;
const MESSAGE = 'the request took longer than 0.2 s';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

interface Watched {
  target: { socketPath: string };
  connections: Connections;
  /** Lines of the error log. */
  lines: Record<string, unknown>[];
  /** URL and status of each request that is over. */
  over: string[];
}

/** Has a server listen whose requests may take so long. */
async function watch(t: TestContext, server: Server, timeout = TIMEOUT): Promise<Watched> {
  const lines: Record<string, unknown>[] = [];
  const over: string[] = [];
  const connections = new Connections({
    onOver: ({ url, response }) =>
      over.push(`${url} ${response.writableFinished ? response.statusCode : 'cut'}`),
  });
  connections.watch(server);
  const log = pino({ base: null }, { write: (line) => lines.push(JSON.parse(line)) });
  const stop = enforceRequestTimeout({ connections, timeout, log });
  const socketPath = join(temporaryDirectory(t), 'app.sock');
  server.listen(socketPath);
  await once(server, 'listening');
  t.after(() => {
    stop();
    server.close();
    connections.destroyAll();
  });
  return { target: { socketPath }, connections, lines, over };
}

/** An app that calls the handler for `/slow`, and answers everything else at once. */
const start = (t: TestContext, slow: Handler, timeout?: number): Promise<Watched> =>
  watch(
    t,
    http.createServer((request, response) => {
      if (request.url?.startsWith('/slow')) slow(request, response);
      else response.end('fast');
    }),
    timeout,
  );

const EXPECTED = { statusCode: 503, error: 'Service Unavailable', message: MESSAGE };

describe('A request that takes too long', () => {
  it('is answered with 503 as Fastify would answer it, and its connection is closed', async (t) => {
    const { target, over } = await start(t, () => {});
    const answer = await fetchFrom(target, '/slow');
    assert.equal(answer.status, 503);
    assert.deepEqual(answer.json(), EXPECTED);
    assert.equal(answer.headers.connection, 'close');
    assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8');
    assert.equal(answer.headers['content-length'], String(answer.body.length));
    await until(() => over.length > 0, 'the end of the request');
    assert.deepEqual(over, ['/slow 503']);
  });

  it('is told in one line of the log, with what was asked', async (t) => {
    const { target, lines, over } = await start(t, () => {});
    await fetchFrom(target, '/slow?a=b', { method: 'DELETE', headers: { 'X-Request-Id': 'abc' } });
    await fetchFrom(target, '/fast');
    await until(() => over.length === 2, 'the end of both');
    assert.equal(lines.length, 1);
    const { time: _, age, ...line } = lines[0]!;
    assert.deepEqual(line, {
      level: 40,
      reqId: 'abc',
      req: { method: 'DELETE', url: '/slow?a=b' },
      msg: `${MESSAGE}: answered 503`,
    });
    assert.ok(Number(age) >= TIMEOUT * 1000, `${age}`);
  });

  it('has nothing of what the app had begun to say in its answer', async (t) => {
    const { target } = await start(t, (_request, response) => {
      response.statusCode = 204;
      response.statusMessage = 'mine';
      response.setHeader('Content-Encoding', 'gzip');
      response.setHeader('Connection', 'keep-alive');
      response.setHeader('Content-Length', 5);
      // As middleware does that compresses or counts.
      response.writeHead = () => assert.fail('writeHead');
      response.end = () => assert.fail('end');
    });
    const answer = await fetchFrom(target, '/slow');
    assert.deepEqual(answer.json(), EXPECTED);
    assert.equal(answer.headers['content-encoding'], undefined);
    assert.equal(answer.headers.connection, 'close');
  });

  it('gets no body in answer to HEAD', async (t) => {
    const { target } = await start(t, () => {});
    const answer = await exchange(target, 'HEAD /slow HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.match(answer, /^HTTP\/1\.1 503 Service Unavailable\r\n.*\r\n\r\n$/s);
  });

  it('loses its connection when its answer has begun, and then its log says so', async (t) => {
    const closed = deferred();
    const { target, lines, over } = await start(t, (_request, response) => {
      response.on('close', closed.resolve);
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write('data: 1\n\n');
    });
    const answer = await exchange(target, 'GET /slow HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n.*data: 1\n\n\r\n$/s);
    await closed.promise;
    await until(() => over.length > 0, 'the end of the request');
    assert.deepEqual(over, ['/slow cut']);
    assert.deepEqual(
      lines.map(({ msg }) => msg),
      [`${MESSAGE}: its connection was cut`],
    );
  });

  it('takes those with it that were pipelined behind it', async (t) => {
    const { target, lines, over } = await start(t, () => {});
    const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const answer = await exchange(target, get('/fast') + get('/slow') + get('/fast?2') + get('/slow?2'));
    assert.match(answer, /^HTTP\/1\.1 200 .*HTTP\/1\.1 503 .*\}$/s);
    assert.equal(answer.match(/HTTP\/1\.1/g)!.length, 2);
    await until(() => over.length === 4, 'the end of all');
    assert.deepEqual(over.sort(), ['/fast 200', '/fast?2 cut', '/slow 503', '/slow?2 cut']);
    assert.equal(lines.length, 1);
  });
});

describe('What does not take too long', () => {
  it('is left alone: idle connections, WebSockets, answers in time', async (t) => {
    const server = http.createServer((request, response) => {
      if (request.url !== '/slow') response.end('fast');
    });
    server.on('upgrade', (_request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n');
      socket.pipe(socket);
    });
    const { target, lines } = await watch(t, server);
    const idle = await RawConnection.open(target.socketPath);
    idle.get('/fast');
    const upgraded = await RawConnection.open(target.socketPath);
    upgraded.send('GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n');
    await until(() => idle.received.endsWith('fast') && upgraded.received.includes('101'), 'both');

    // Both are older than this one.
    assert.equal((await fetchFrom(target, '/slow')).status, 503);
    upgraded.send('still there');
    await until(() => upgraded.received.endsWith('still there'), 'the echo');
    idle.get('/fast?again');
    await until(() => idle.received.match(/HTTP\/1\.1 200/g)?.length === 2, 'the second answer');
    assert.equal(lines.length, 1);
    idle.socket.destroy();
    upgraded.socket.destroy();
  });

  it('is everything, with a timeout of 0: nobody looks', async (t) => {
    const timers = t.mock.method(globalThis, 'setInterval');
    const { target } = await start(t, (_request, response) => response.end('slow'), 0);
    assert.equal((await fetchFrom(target, '/slow')).body, 'slow');
    assert.equal(timers.mock.callCount(), 0);
  });
});

describe('A request whose body is still arriving', () => {
  const readers: Record<string, Handler> = {
    'does not read it': () => {},
    'reads it': (request) => request.resume(),
    'reads it and waits': (request) => request.once('data', () => request.pause()),
    'ends the response in its own way': (_request, response) =>
      response.once('finish', () => response.destroy()),
    'has it piped elsewhere': (request) => request.pipe(new PassThrough({ highWaterMark: 10 })),
  };
  for (const [what, read] of Object.entries(readers)) {
    it(`gets its answer without a reset, when the app ${what}`, async (t) => {
      const ends: string[] = [];
      const { target, connections } = await start(t, (request, response) => {
        for (const event of ['end', 'aborted']) request.on(event, () => ends.push(event));
        request.on('error', () => {});
        read(request, response);
      });
      const answer = await upload(connect({ path: target.socketPath, allowHalfOpen: true }));
      assert.match(answer, /^HTTP\/1\.1 503 .*\}$/s);
      await until(() => connections.size === 0, 'the end of the connection');
      assert.deepEqual(ends, ['aborted'], 'the app never takes a part for the whole');
    });
  }

  it('is not finished by what comes after the answer, nor is a next one begun', async (t) => {
    const events: string[] = [];
    const { target, connections } = await start(t, (request) => {
      events.push(request.url!);
      for (const event of ['end', 'aborted']) request.on(event, () => events.push(event));
      request.on('data', () => {});
    });
    const client = connect({ path: target.socketPath, allowHalfOpen: true });
    client.write('POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345');
    const [answer] = await once(client.setEncoding('latin1'), 'data');
    assert.match(answer, /^HTTP\/1\.1 503 /);
    client.end('67890GET /slow?next HTTP/1.1\r\nHost: x\r\n\r\n');
    await until(() => connections.size === 0, 'the end of the connection');
    assert.deepEqual(events, ['/slow', 'aborted']);
  });

  it('does not keep a connection open whose client neither ends nor closes', async (t) => {
    const { target, connections } = await start(t, () => {});
    const socket = open(target);
    socket.on('error', () => {});
    socket.write('POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n');
    const [answer] = await once(socket.setEncoding('latin1'), 'data');
    assert.match(answer, /^HTTP\/1\.1 503/);
    await until(() => connections.size === 0, 'the end of the connection');
    socket.destroy();
  });

  /** Sends a body without end until the server ends the connection, and some more; rejects if it is reset. */
  async function upload(socket: Socket): Promise<string> {
    let received = '';
    socket.setEncoding('latin1').on('data', (chunk) => {
      received += chunk;
    });
    socket.write(`POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: ${1e12}\r\n\r\n`);
    const piece = Buffer.alloc(100_000);
    const more = setInterval(() => socket.writableLength < 1e6 && socket.write(piece), 1);
    try {
      await once(socket, 'end');
      // More than waits in a socket that nobody reads.
      const rest = Buffer.alloc(5_000_000);
      await new Promise<void>((resolve, reject) => {
        socket.write(rest, (error) => (error ? reject(error) : resolve()));
      });
    } finally {
      clearInterval(more);
      socket.destroy();
    }
    return received;
  }
});

describe('What the app does with a response after that', () => {
  /** The answer to a request with which the app does something when it was given up. */
  async function late(
    t: TestContext,
    act: (response: ServerResponse) => unknown,
    moments = ['at once', 'when it is closed'],
  ): Promise<void> {
    for (const when of moments) {
      const acted = deferred();
      const { target, over } = await start(t, (_request, response) => {
        response.on('error', acted.reject);
        const go = () =>
          void new Promise((resolve) => resolve(act(response))).then(acted.resolve, acted.reject);
        if (when === 'at once') response.once('finish', go);
        else response.once('close', () => setImmediate(go));
      });
      assert.deepEqual((await fetchFrom(target, '/slow')).json(), EXPECTED);
      await acted.promise;
      await until(() => over.length > 0, 'the end of the request');
      assert.deepEqual(over, ['/slow 503']);
      assert.equal((await fetchFrom(target, '/fast')).body, 'fast');
    }
  }

  it('throws nothing: a late answer', (t) =>
    late(t, async (response) => {
      response.statusCode = 200;
      response.setHeader('X-Late', '1').setHeader('X-Later', '2');
      response.appendHeader('X-Late', '3');
      response.removeHeader('X-Late');
      response.writeContinue();
      response.writeProcessing();
      response.writeEarlyHints({ link: '</style.css>; rel=preload' });
      // Newer than Node 20.
      const { writeInformation } = response as {
        writeInformation?: (status: number, headers: object) => void;
      };
      writeInformation?.call(response, 103, { link: '</style.css>; rel=preload' });
      response.writeHead(200, { 'Content-Type': 'text/plain' }).flushHeaders();
      response.addTrailers({ 'X-Trailer': '1' });
      response.socket!.setTimeout(0);
      await new Promise<unknown>((resolve) => response.write('late', resolve));
      await new Promise<void>((resolve) => response.end('later', resolve));
      response.end('once more');
      response.destroy();
    }));

  it('does not wait for ever: writing with respect for backpressure', (t) =>
    late(t, async (response) => {
      for (let n = 0; n < 10; n++) if (!response.write('x'.repeat(100_000))) await once(response, 'drain');
      response.end();
    }));

  it('holds no file open: a pipe', (t) => {
    const file = join(temporaryDirectory(t), 'file');
    writeFileSync(file, Buffer.alloc(1_000_000));
    const act = async (response: ServerResponse) => {
      const source = createReadStream(file);
      source.pipe(response);
      await once(source, 'close');
    };
    // Node itself stops what is piped before.
    return late(t, act, ['when it is closed']);
  });

  it('fails as if the client had gone at most: a pipeline', (t) =>
    late(t, async (response) => {
      const piped = pipeline(Readable.from(['late', 'later']), response);
      // Newer versions of Node refuse any response that is closed.
      await piped.catch(({ code }) => assert.match(code, /^ERR_STREAM_(UNABLE_TO_PIPE|PREMATURE_CLOSE)$/));
    }));

  it('does not stop the worker from serving others: a source without end', async (t) => {
    const { target } = await start(t, (_request, response) => {
      const source = Readable.from(
        (function* () {
          for (;;) yield 'more';
        })(),
      );
      response.once('close', () => source.pipe(response));
      t.after(() => source.destroy());
    });
    await fetchFrom(target, '/slow');
    assert.equal((await fetchFrom(target, '/fast')).body, 'fast');
  });
});

describe('A Fastify app', () => {
  const answers: Record<string, () => unknown> = {
    text: () => 'late',
    JSON: () => ({ late: true }),
    'a stream': () => Readable.from(['late']),
    'an error': () => new Error('late'),
  };
  for (const [what, make] of Object.entries(answers)) {
    it(`may still send ${what}`, async (t) => {
      const app = fastify();
      const begun: (() => void)[] = [];
      const done = deferred();
      app.get('/', async (_request, reply) => {
        await new Promise<void>((resolve) => begun.push(resolve));
        reply.header('X-Late', '1').code(201);
        setImmediate(done.resolve);
        const late = make();
        if (late instanceof Error) throw late;
        return late;
      });
      app.get('/callback', (_request, reply) => {
        begun.push(() => reply.send(make()));
      });
      app.get('/fast', async () => 'fast');
      await app.ready();
      const { target, over } = await watch(t, app.server);
      for (const path of ['/', '/callback']) assert.equal((await fetchFrom(target, path)).status, 503);
      await until(() => over.length === 2, 'the end of both');
      for (const go of begun) go();
      await done.promise;
      assert.equal((await fetchFrom(target, '/fast')).body, 'fast');
      assert.deepEqual(over.slice(0, 2), ['/ 503', '/callback 503']);
    });
  }

  it('never runs its handler with a body that was still arriving', async (t) => {
    const app = fastify();
    let ran = false;
    app.post('/', async () => {
      ran = true;
    });
    await app.ready();
    const { target, connections } = await watch(t, app.server);
    const answer = exchange(
      target,
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n[1,',
    );
    assert.match(await answer, /^HTTP\/1\.1 503 /);
    await until(() => connections.size === 0, 'the end of the connection');
    assert.equal(ran, false);
  });
});

function deferred() {
  let resolve!: (value?: unknown) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise((one, other) => {
    resolve = one;
    reject = other;
  });
  return { promise, resolve, reject };
}
