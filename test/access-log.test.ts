/**
 * The access log: one line for each request, that says what became of it, is never longer than 4,096 bytes, and
 * cannot be forged. How lines get to their file is in access-log-delivery.test.ts.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { clip } from '../src/worker/access-log.ts';
import { exchange, fetchFrom, open, startOnPort } from './support/http.ts';
import { app, type Server, startServer, temporaryDirectory, until } from './support/server.ts';

const file = app('answers.mjs');

interface Line {
  time: number;
  pid: number;
  reqId: string;
  method: string;
  url: string;
  status: number;
  bytes: number;
  ms: number;
  remoteAddress: string;
  userAgent: string;
  referer: string;
}

/** The line about a URL, once it is there. */
async function lineFor(server: Server, url: string): Promise<Line> {
  const find = () => server.accessLog().find((line) => line.url === url) as unknown as Line | undefined;
  await until(find, `the line for ${url}`);
  return find()!;
}

const raw = (line: string, ...headers: string[]) =>
  [line, 'Host: x', 'Connection: close', ...headers, '', ''].join('\r\n');

describe('A line of the access log', () => {
  it('says when, which worker, which request, what became of it, and for whom', async (t) => {
    const before = Date.now();
    const server = await startServer(t, file);
    const headers = {
      'X-Forwarded-For': '6.6.6.6, 203.0.113.7',
      'X-Request-ID': 'an-id-from-nginx',
      'User-Agent': 'curl/8.0',
      Referer: 'https://example.com/"here"',
    };
    const bytes = (
      await exchange(
        { socketPath: server.socket },
        raw('GET /?a=b HTTP/1.1', ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)),
      )
    ).length;
    const { time, ms, pid, ...rest } = await lineFor(server, '/?a=b');
    assert.deepEqual(rest, {
      level: 30,
      reqId: 'an-id-from-nginx',
      method: 'GET',
      url: '/?a=b',
      status: 200,
      bytes,
      remoteAddress: '203.0.113.7',
      userAgent: 'curl/8.0',
      referer: 'https://example.com/"here"',
    });
    assert.ok(time >= before && time <= Date.now(), `${time}`);
    assert.ok(ms >= 0, `${ms}`);
    assert.ok(server.workers().includes(pid), `${pid}`);
  });

  it('has the method and the URL as they came, whatever the app makes of them', async (t) => {
    const server = await startServer(t, file);
    await fetchFrom({ socketPath: server.socket }, '/mounted/rest?a=b');
    assert.equal((await lineFor(server, '/mounted/rest?a=b')).method, 'GET');
  });

  it('is there for answers of every kind', async (t) => {
    const server = await startServer(t, file);
    const target = { socketPath: server.socket };
    const statuses: Record<string, number> = { '/missing': 404, '/boom': 500, '/streamed': 200 };
    for (const url of Object.keys(statuses)) await fetchFrom(target, url);
    for (const [url, status] of Object.entries(statuses)) {
      assert.equal((await lineFor(server, url)).status, status, url);
    }
    assert.ok((await lineFor(server, '/streamed')).bytes > 2000);

    await fetchFrom(target, '/?head', { method: 'HEAD' });
    const { method, status, bytes } = await lineFor(server, '/?head');
    assert.deepEqual({ method, status }, { method: 'HEAD', status: 200 });
    assert.ok(bytes > 0 && bytes < 400, `${bytes}`);
    assert.equal(server.accessLog().length, 4);
  });

  it('is there for what Fastify answers before its hooks run, with the right address', async (t) => {
    const server = await startServer(t, file);
    const headers = { 'X-Forwarded-For': '203.0.113.7' };
    await fetchFrom({ socketPath: server.socket }, '/%zz', { headers });
    const { status, remoteAddress } = await lineFor(server, '/%zz');
    assert.deepEqual({ status, remoteAddress }, { status: 400, remoteAddress: '203.0.113.7' });
  });

  for (const own of ['nothing', 'genReqId', 'requestIdHeader', 'trustProxy', 'part']) {
    it(`has the id and the client that the app has where its own is ${own}`, async (t) => {
      const server = await startServer(t, app('own-identity.mjs'), ['-w', '1'], { env: { OWN: own } });
      const proxy = { 'X-Forwarded-For': '203.0.113.7' };
      const ids = { 'X-Request-ID': 'an-id-from-nginx', 'X-My-Id': 'an-id-of-mine' };
      for (const path of ['/', '/before', '/part', '/part/inner', '/part/refused']) {
        for (const [query, headers] of Object.entries({ '': {}, '?proxy': proxy, '?ids': ids })) {
          const url = path + query;
          const seen = (await fetchFrom({ socketPath: server.socket }, url, { headers })).json();
          const { reqId, remoteAddress } = await lineFor(server, url);
          assert.deepEqual({ id: reqId, ip: remoteAddress }, seen, url);
        }
      }
    });
  }

  it('is there once, however an app passes requests on', async (t) => {
    const server = await startServer(t, app('hands-on.mjs'), ['-w', '1']);
    const asked = {
      'POST /expecting': ['Content-Length: 0', 'Expect: 100-continue'],
      'GET /others': [],
      'GET /own': [],
    };
    for (const [request, headers] of Object.entries(asked))
      await exchange({ socketPath: server.socket }, raw(`${request} HTTP/1.1`, ...headers));
    await server.stop();
    const lines = server.accessLog().map(({ method, url, status }) => [`${method} ${url}`, status]);
    assert.deepEqual(
      lines,
      Object.keys(asked).map((request) => [request, 200]),
    );
  });

  it('counts all bytes, to the last one, where requests are pipelined', async (t) => {
    const server = await startServer(t, file);
    const paths = ['/a', '/b', '/c'];
    const requests = paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const all = await exchange({ socketPath: server.socket }, requests.join('') + raw('GET /d HTTP/1.1'));
    let sum = 0;
    for (const path of [...paths, '/d']) sum += (await lineFor(server, path)).bytes;
    assert.equal(sum, all.length);
  });

  for (const path of ['/never', '/endless']) {
    it(`says 499 when the client has gone away from ${path}, on a port too, where its address stays known`, async (t) => {
      const socketServer = await startServer(t, file);
      const { server: portServer, target } = await startOnPort(t, file);
      for (const [server, to] of [
        [socketServer, { socketPath: socketServer.socket }],
        [portServer, target],
      ] as const) {
        const client = open(to);
        client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
        if (path === '/endless') await once(client, 'data');
        else await fetchFrom(to, '/'); // Whatever was sent first has arrived by then, or arrives before the FIN.
        client.destroy();
        const { status, remoteAddress } = await lineFor(server, path);
        assert.deepEqual({ status, remoteAddress }, { status: 499, remoteAddress: '127.0.0.1' });
      }
    });
  }

  it('says 499 for a request behind one whose answer was to be the last of the connection', async (t) => {
    const server = await startServer(t, file);
    const requests = ['/last', '/never-sent'].map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const answers = await exchange({ socketPath: server.socket }, requests.join(''));
    assert.equal(answers.match(/HTTP\/1\.1/g)?.length, 1);
    assert.equal((await lineFor(server, '/last')).status, 200);
    const { status, bytes } = await lineFor(server, '/never-sent');
    assert.deepEqual({ status, bytes }, { status: 499, bytes: 0 });
  });

  for (const [what, sent, status] of [
    [
      'a body that breaks the protocol',
      `GET /never HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nZZ\r\n`,
      400,
    ],
    [
      'a request with garbage behind it, which is all that is answered',
      'GET /never HTTP/1.1\r\nHost: x\r\n\r\nGARBAGE\r\n\r\n',
      400,
    ],
  ] as const) {
    it(`says what Node answers to ${what}`, async (t) => {
      const server = await startServer(t, file);
      assert.match(await exchange({ socketPath: server.socket }, sent), new RegExp(`^HTTP/1\\.1 ${status} `));
      assert.equal((await lineFor(server, '/never')).status, status);
    });
  }

  it('says 499 for a request behind one that was refused', async (t) => {
    const server = await startServer(t, file);
    const requests = ['/never', '/never?behind'].map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await exchange({ socketPath: server.socket }, `${requests.join('')}GARBAGE\r\n\r\n`);
    const statuses = [
      (await lineFor(server, '/never')).status,
      (await lineFor(server, '/never?behind')).status,
    ];
    assert.deepEqual(statuses, [400, 499]);
  });

  it('says 200 for an answer that the app gives after all', async (t) => {
    const file = join(temporaryDirectory(t), 'app.mjs');
    writeFileSync(
      file,
      `import http from 'node:http';
       export default http.createServer((request, response) => setTimeout(() => response.end('after all'), 300))
         .on('clientError', () => {});`,
    );
    const server = await startServer(t, file);
    const answer = await exchange(
      { socketPath: server.socket },
      'GET /late HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGARBAGE\r\n\r\n',
    );
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.equal((await lineFor(server, '/late')).status, 200);
  });

  it('does not blame the client for an answer that the app has broken off', async (t) => {
    const server = await startServer(t, file);
    await assert.rejects(fetchFrom({ socketPath: server.socket }, '/breaks-off'));
    assert.equal((await lineFor(server, '/breaks-off')).status, 200);
  });

  it('says 101 for a WebSocket once it is closed, and its own status for a refused one', async (t) => {
    const server = await startServer(t, file);
    const headers = { 'X-Forwarded-For': '203.0.113.7', 'X-Request-ID': 'ws-id' };
    const client = new WebSocket(`ws+unix:${server.socket}:/ws`, { headers });
    await once(client, 'message');
    client.close();
    const { status, reqId, remoteAddress, bytes } = await lineFor(server, '/ws');
    assert.deepEqual(
      { status, reqId, remoteAddress },
      { status: 101, reqId: 'ws-id', remoteAddress: '203.0.113.7' },
    );
    assert.ok(bytes > 'welcome'.length);

    const refused = new WebSocket(`ws+unix:${server.socket}:/elsewhere`);
    await once(refused, 'error');
    assert.equal((await lineFor(server, '/elsewhere')).status, 403);

    // Right behind a request whose answer is complete, though not called over yet.
    const upgrade = raw('GET /behind HTTP/1.1', 'Connection: Upgrade', 'Upgrade: websocket');
    await exchange({ socketPath: server.socket }, `GET /missing HTTP/1.1\r\nHost: x\r\n\r\n${upgrade}`);
    assert.equal((await lineFor(server, '/behind')).status, 403);
  });

  it('is there for each tunnel, whatever the app has made of its socket, and for an upgrade that the app listens for no more, which Node answers then', async (t) => {
    const server = await startServer(t, app('listens-itself.mjs'), ['-w', '1']);
    const to = { socketPath: server.socket };
    const upgrade = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\nUpgrade: other\r\n\r\n';
    assert.match(await exchange(to, upgrade), /^HTTP\/1\.1 101 .*now 2 writes$/s);
    assert.match(await exchange(to, upgrade), /^HTTP\/1\.1 200 .*plain$/s);
    assert.match(await exchange(to, 'CONNECT far:1 HTTP/1.1\r\nHost: far:1\r\n\r\n'), /^HTTP\/1\.0 200 /);
    await until(() => server.accessLog().length === 3, 'three lines');
    const seen = server.accessLog().map(({ method, url, status }) => `${method} ${url} ${status}`);
    assert.deepEqual(seen.sort(), ['CONNECT far:1 200', 'GET / 101', 'GET / 200']);
  });

  it('takes at most 4,096 bytes, whatever the client sends, and marks what was cut', async (t) => {
    const server = await startServer(t, file);
    for (const character of ['a', '"', '\\', '\xe9', '\x9b', '\xff']) {
      const long = character.repeat(2000);
      // Node refuses other bytes in a URL.
      const url = `/?${(character > '~' ? '%' : character).repeat(8000)}`;
      await exchange(
        { socketPath: server.socket },
        raw(`GET ${url} HTTP/1.1`, `User-Agent: ${long}`, `Referer: ${long}`, `X-Request-ID: ${long}`),
      );
    }
    await until(() => server.accessLog().length === 6, 'six lines');
    for (const line of server.stdout.trimEnd().split('\n')) {
      assert.ok(Buffer.byteLength(line) < 4096, line);
      const { url, userAgent, referer, reqId } = JSON.parse(line) as Line;
      for (const text of [url, userAgent, referer, reqId]) assert.match(text, /…$/);
    }
  });

  for (const pretty of [false, true]) {
    it(`cannot be forged with control characters${pretty ? ', nor can they reach a terminal (--pretty)' : ''}`, async (t) => {
      const server = await startServer(t, file, pretty ? ['--pretty'] : []);
      const headers = [
        'User-Agent: a\tb\x9b1m',
        'X-Forwarded-For: 1\x9b2J',
        'X-Request-ID: 1\x85',
        'Referer: \x9f',
      ];
      const target = { socketPath: server.socket };
      // What Node lets through…
      const forged = await exchange(target, raw('GET /%0A{"status":200}?%9b HTTP/1.1', ...headers));
      assert.match(forged, /^HTTP\/1\.1 200/);
      await until(() => server.stdout.includes('%0A'), 'the line');
      // …and what it refuses by itself.
      for (const character of ['\x01', '\x1b', '\x7f', '\x85', '\x9b']) {
        assert.match(await exchange(target, raw(`GET /${character} HTTP/1.1`)), /^HTTP\/1\.1 400/);
      }
      await server.stop();
      assert.equal(server.stdout.split('\n').length, 2, 'one line, and its end');
      assert.doesNotMatch(server.stdout, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
    });
  }
});

describe('clip', () => {
  it('leaves alone what fits to the byte, quotes and escapes included', () => {
    for (const text of ['', 'plain', 'a"b', 'a\\b', 'é', '€', '😀']) {
      assert.equal(clip(text, Buffer.byteLength(JSON.stringify(text))), text);
    }
  });

  it('marks what it cuts, and never exceeds the limit', () => {
    for (const character of ['a', '"', '\\', 'é', '€', '😀', '\n', '\x9b']) {
      for (let most = 6; most < 40; most++) {
        const cut = clip(character.repeat(50), most);
        assert.ok(Buffer.byteLength(JSON.stringify(cut)) <= most, `${cut} in ${most}`);
        assert.match(cut, /…$/);
      }
    }
  });

  it('cuts no later and no earlier than it must', () => {
    assert.equal(clip('abcdefghij', 12), 'abcdefghij');
    assert.equal(clip('abcdefghijk', 12), 'abcdefg…');
    assert.equal(clip('"bcdefghijk', 12), '"bcdef…');
  });

  it('spells out control characters', () => {
    assert.equal(clip('a\nb\x1b[1m\x7f\x9b', 100), 'a\\x0ab\\x1b[1m\\x7f\\x9b');
  });
});
