/**
 * What the app learns about a request: who sent it, by which way, under which id. Behind our nginx on a Unix socket
 * its headers say so; on a port nobody's do.
 */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import fastify from 'fastify';
import { exchange, fetchFrom, startOnPort, type Target } from './support/http.ts';
import { app, startServer, temporaryDirectory, until } from './support/server.ts';

/** What nginx.conf sets, for a client 203.0.113.7 that asked for https://shop.example:8443/. */
const nginxSays = {
  Host: 'shop.example:8443',
  'X-Forwarded-For': '203.0.113.7',
  'X-Forwarded-Proto': 'https',
  'X-Forwarded-Host': 'shop.example:8443',
  'X-Real-IP': '203.0.113.7',
  'X-Request-ID': '0123456789abcdef0123456789abcdef',
};

/** A client's claims, in letters of every case and more than once. */
const claims = [
  'X-Forwarded-For: 6.6.6.6',
  'x-forwarded-for: 7.7.7.7',
  'X-FORWARDED-PROTO: https',
  'X-Forwarded-Host: evil.example',
  'x-forwarded-Port: 666',
  'FORWARDED: for=6.6.6.6;proto=https',
  'X-Real-Ip: 6.6.6.6',
  'X-Request-Id: forged',
  'x-request-ID: forged again',
];

const upgrade = ['Connection: upgrade, close', 'Upgrade: websocket'];
const expectation = ['Connection: close', 'Expect: 100-continue'];
/** Node answers it by itself, unless the app does. */
const strangeExpectation = ['Connection: close', 'Expect: a-miracle'];

/** The mirror app beside the Fastify of that version, as in a project of its own. */
function mirrorOn(t: TestContext, version: 4 | 5): string {
  const directory = temporaryDirectory(t);
  const installed = fileURLToPath(
    new URL(`../node_modules/${version === 4 ? 'fastify4' : 'fastify'}`, import.meta.url),
  );
  mkdirSync(join(directory, 'node_modules'));
  symlinkSync(installed, join(directory, 'node_modules/fastify'));
  copyFileSync(app('mirror.mjs'), join(directory, 'mirror.mjs'));
  return join(directory, 'mirror.mjs');
}

/** The JSON at the end of an answer. */
function jsonOf(answer: string): Record<string, unknown> {
  return JSON.parse(answer.slice(answer.indexOf('{'), answer.lastIndexOf('}') + 1));
}

function assertNoClaims(seen: Record<string, unknown>): void {
  const text = JSON.stringify([seen.headers, seen.distinct, seen.raw]);
  assert.doesNotMatch(text, /forwarded|x-real-ip|x-request-id|6\.6\.6\.6|7\.7\.7\.7|forged|evil/i);
  assert.match(text, /x-other.*keep me/i);
}

const claiming = (start: string, ...more: string[]) =>
  [start, 'Host: localhost', claims[0], 'X-Other: keep me', ...claims.slice(1), ...more, '', ''].join('\r\n');

for (const version of [5, 4] as const) {
  describe(`Behind nginx, an app on Fastify ${version}`, () => {
    it('sees the client, its protocol, its host, and the request id of nginx', async (t) => {
      const { socket } = await startServer(t, mirrorOn(t, version));
      const seen = (await fetchFrom({ socketPath: socket }, '/', { headers: nginxSays })).json();
      assert.equal(seen.ip, '203.0.113.7');
      assert.equal(seen.protocol, 'https');
      assert.equal(seen.host, 'shop.example:8443');
      assert.equal(seen.hostname, version === 4 ? 'shop.example:8443' : 'shop.example');
      assert.equal(seen.id, nginxSays['X-Request-ID']);
    });

    it('believes only the last of several addresses, which is the one that nginx vouches for', async (t) => {
      const { socket } = await startServer(t, mirrorOn(t, version));
      const headers = { 'X-Forwarded-For': '6.6.6.6, 7.7.7.7, 203.0.113.7' };
      const seen = (await fetchFrom({ socketPath: socket }, '/', { headers })).json();
      assert.equal(seen.ip, '203.0.113.7');
    });

    it('never finds the address of a peer undefined', async (t) => {
      const { socket } = await startServer(t, mirrorOn(t, version));
      const seen = (await fetchFrom({ socketPath: socket }, '/')).json();
      assert.equal(seen.peerAtConnection, '127.0.0.1');
      assert.equal(seen.peer, '127.0.0.1');
      assert.equal(seen.ip, '127.0.0.1');
    });
  });

  describe(`On a port, an app on Fastify ${version}`, () => {
    it('sees nothing of what a client claims about itself', async (t) => {
      const { target } = await startOnPort(t, mirrorOn(t, version));
      const seen = jsonOf(await exchange(target, claiming('POST / HTTP/1.1', 'Connection: close')));
      assertNoClaims(seen);
      assert.equal(seen.ip, '127.0.0.1');
      assert.equal(seen.protocol, 'http');
      assert.equal(seen.host, 'localhost');
      assert.notEqual(seen.id, 'forged');
    });

    it('sees nothing of it in an upgrade request or one with an expectation either', async (t) => {
      const { target } = await startOnPort(t, mirrorOn(t, version));
      for (const headers of [upgrade, expectation]) {
        assertNoClaims(jsonOf(await exchange(target, claiming('GET / HTTP/1.1', ...headers))));
      }
    });

    it('sees nothing of it where it listens to these events itself', async (t) => {
      const { target } = await startOnPort(t, mirrorOn(t, version), [], { env: { LISTEN: '1' } });
      const events = [];
      for (const headers of [upgrade, expectation, strangeExpectation]) {
        const seen = jsonOf(await exchange(target, claiming('GET / HTTP/1.1', ...headers)));
        assertNoClaims(seen);
        events.push(seen.event);
      }
      assert.deepEqual(events, ['upgrade', 'checkContinue', 'checkExpectation']);
      assertNoClaims(jsonOf(await exchange(target, claiming('CONNECT x:1 HTTP/1.1'))));
    });
  });
}

describe('An app with options of its own', () => {
  it('keeps its trustProxy', async (t) => {
    const { socket } = await startOwn(t);
    const headers = { 'X-Forwarded-For': '203.0.113.7' };
    const seen = (await fetchFrom({ socketPath: socket }, '/', { headers })).json();
    assert.equal(seen.ip, '127.0.0.1');
  });

  it('keeps its genReqId, also where nginx sends an id', async (t) => {
    const { socket } = await startOwn(t);
    const answer = await fetchFrom({ socketPath: socket }, '/', { headers: nginxSays });
    assert.match(String(answer.json().id), /^mine-/);
  });

  it('keeps its logger, with its level', async (t) => {
    const { socket, log, server } = await startOwn(t);
    await fetchFrom({ socketPath: socket }, '/');
    await until(() => readFileSync(log, 'utf8').includes('said by the app'), 'the line of the app');
    assert.doesNotMatch(readFileSync(log, 'utf8'), /below the level/);
    assert.doesNotMatch(server.stderr, /said by the app/);
  });

  async function startOwn(t: TestContext) {
    const log = join(temporaryDirectory(t), 'own.log');
    const server = await startServer(t, app('own-options.mjs'), [], { env: { OWN_LOG: log } });
    return { server, log, socket: server.socket };
  }
});

describe('Without a proxy', () => {
  it('requests get ids that no two workers give', async (t) => {
    const server = await startServer(t, app('mirror.mjs'), ['-w', '3']);
    const ids = new Set<unknown>();
    const pids = new Set<unknown>();
    let count = 0;
    await until(async () => {
      const batch = Array.from({ length: 20 }, () => fetchFrom({ socketPath: server.socket }, '/'));
      for (const answer of await Promise.all(batch)) {
        ids.add(answer.json().id);
        pids.add(answer.json().pid);
        count++;
      }
      return pids.size === 3;
    }, 'an answer of every worker');
    assert.equal(ids.size, count);
  });
});

describe('What Node does by itself, it does here too', () => {
  it('tells a client that expects it to continue, and answers', async (t) => {
    const { socket } = await startServer(t, app('mirror.mjs'));
    const post = ['POST / HTTP/1.1', 'Host: x', 'Content-Type: text/plain', 'Content-Length: 5'];
    const answer = await exchange(
      { socketPath: socket },
      [...post, 'Expect: 100-continue', 'Connection: close', '', 'hello'].join('\r\n'),
    );
    assert.match(answer, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
    assert.equal(jsonOf(answer).body, 'hello');
  });

  it('leaves expectations to an app that listens for them only once it serves', async (t) => {
    const server = await startServer(t, app('listens-itself.mjs'), ['-w', '1']);
    const answer = await exchange(
      { socketPath: server.socket },
      'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: a-miracle\r\n\r\n',
    );
    assert.match(answer, /^HTTP\/1\.1 200 .*a miracle/s);
  });

  it('serves HTTP/1 that claims to be a later version', async (t) => {
    const server = await startServer(t, app('plain.mjs'));
    const before = server.workers();
    for (const version of ['2.0', '3.0', '9.9'])
      assert.match(
        await exchange({ socketPath: server.socket }, `GET / HTTP/${version}\r\n\r\n`),
        /^HTTP\/1\.1 \d{3} /,
      );
    assert.deepEqual(server.workers(), before);
  });

  for (const [what, headers] of Object.entries({
    'an upgrade request to an app without WebSockets': upgrade,
    'an expectation that nobody knows': strangeExpectation,
  })) {
    it(`answers ${what} as plain Fastify does`, async (t) => {
      const plain = fastify();
      plain.get('/plain', async () => 'plain');
      await plain.listen({ port: 0, host: '127.0.0.1' });
      t.after(() => plain.close());
      const address = plain.server.address() as { port: number };

      const server = await startServer(t, app('plain.mjs'));
      const bytes = ['GET /plain HTTP/1.1', 'Host: x', ...headers, '', ''].join('\r\n');
      const answer = async (target: Target) => (await exchange(target, bytes)).replace(/date: .*/i, '');
      const expected = await answer({ port: address.port });
      assert.match(expected, /^HTTP\/1\.1 \d/);
      assert.equal(await answer({ socketPath: server.socket }), expected);
    });
  }
});
