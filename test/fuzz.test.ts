/**
 * Whatever bytes come over the socket: no worker dies of them, and who behaves is served meanwhile. Seeded; run a
 * failure again with FUZZ_SEED=….
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, describe, it } from 'node:test';
import { load } from './support/load.ts';
import { Random } from './support/random.ts';
import { app, startServer } from './support/server.ts';

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000);
const ROUNDS = 300;

const random = new Random(String(seed));
const below = (limit: number) => random.between(0, limit - 1);
const bytes = (length: number) => Array.from({ length }, () => String.fromCharCode(below(256))).join('');
const lines = (...text: string[]) => `${text.join('\r\n')}\r\n`;

const methods = ['GET', 'POST', 'HEAD', 'OPTIONS', 'CONNECT', 'TRACE', 'PRI', 'M-SEARCH', 'get', 'G\0T', ''];
const targets = [
  '/',
  '*',
  '//',
  '/%',
  '/%00',
  '/\x80',
  'http://x/',
  'x:1',
  '/..//..',
  `/${'a'.repeat(20_000)}`,
  '/ /',
];
const oddHeaders = [
  'X-Forwarded-For: , ,,',
  'X-Forwarded-For: \x80\xff',
  'X-Forwarded-Proto: ,',
  'X-Forwarded-Host: ',
  'Host: a, b',
  'Host:',
  ': no name',
  'no colon',
  'Spaced Name: x',
  '__proto__: x',
  'constructor: x',
  'X-Request-ID: \t\x9b',
  ' folded: x',
  'Content-Length: -1',
  'Content-Length: 99999999999999999999',
  'Content-Length: 5\r\nContent-Length: 6',
  'Content-Length: 5\r\nTransfer-Encoding: chunked',
  'Transfer-Encoding: chunked, identity',
  'Transfer-Encoding: \x0bchunked',
  'Content-Type: application/json; charset=\x80',
  'Content-Type: /',
  'Connection: upgrade\r\nUpgrade: websocket',
  'Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__',
  'Expect: 100-continue',
  'Expect: \x80',
  `X-Long: ${'x'.repeat(17_000)}`,
];

const request = () =>
  lines(
    `${random.pick(methods)} ${random.pick(targets)} HTTP/${random.pick(['1.1', '1.0', '0.9', '2.0', '1.x', ''])}`,
    'Host: x',
    ...Array.from({ length: below(4) }, () => random.pick(oddHeaders)),
    '',
  );

/** One kind of misbehaviour each. */
const kinds: Record<string, () => string> = {
  noise: () => bytes(1 + below(3000)),
  'a TLS hello': () => `\x16\x03\x01${bytes(200)}`,
  'an HTTP/2 preface': () => `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${bytes(50)}`,
  'odd requests': () => Array.from({ length: 1 + below(4) }, request).join(random.pick(['', 'body', '\r\n'])),
  'a mutated request': () => {
    const good = lines('GET /token/abc HTTP/1.1', 'Host: localhost', 'Accept: */*', '');
    const at = below(good.length);
    return good.slice(0, at) + bytes(1 + below(3)) + good.slice(at + below(3));
  },
  'many headers': () => lines('GET / HTTP/1.1', ...Array.from({ length: 3000 }, (_, n) => `h${n}: ${n}`), ''),
  'bad chunks': () =>
    lines(
      'POST /hash HTTP/1.1',
      'Host: x',
      'Content-Type: application/octet-stream',
      'Transfer-Encoding: chunked',
      '',
    ) +
    random.pick([
      '5\r\nabc',
      'zz\r\n',
      'ffffffffffffffff\r\n',
      '-1\r\n\r\n',
      '3;x="\r\nabc\r\n0\r\n',
      '3\r\nabcdef\r\n0\r\n\r\n',
      bytes(50),
    ]),
  'half a request': () => {
    const whole = lines('POST /hash HTTP/1.1', 'Host: x', 'Content-Length: 100', '', bytes(50));
    return whole.slice(0, below(whole.length));
  },
  'pipelined requests': () =>
    Array.from({ length: 1 + below(20) }, (_, n) => lines(`GET /token/${n} HTTP/1.1`, 'Host: x', '')).join(
      '',
    ),
};

/** Sends the bytes, and goes away sooner or later. */
function misbehave(
  socketPath: string,
  text: string,
  manner: 'at once' | 'after the answer' | 'half closed',
): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ path: socketPath, allowHalfOpen: true });
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.on('data', () => manner === 'after the answer' && socket.destroy());
    socket.on('end', () => socket.destroy());
    // A server may wait for the rest of a request; then it is we who give up.
    socket.setTimeout(200, () => socket.destroy());
    socket.write(Buffer.from(text, 'latin1'), () => {
      if (manner === 'at once') socket.destroy();
      if (manner === 'half closed') socket.end();
    });
  });
}

describe(`Fuzz with FUZZ_SEED=${seed}`, () => {
  after(() => console.log(`FUZZ_SEED=${seed}`));

  for (const [kind, make] of Object.entries(kinds)) {
    it(`no worker dies of ${kind}, and others are served meanwhile`, async (t) => {
      const server = await startServer(t, app('echo.mjs'));
      const workers = server.workers();
      assert.equal(workers.length, 2);
      const over = new AbortController();
      const others = load({ to: { socketPath: server.socket }, connections: 4, signal: over.signal });
      for (let round = 0; round < ROUNDS; round += 10) {
        await Promise.all(
          Array.from({ length: 10 }, () =>
            misbehave(server.socket, make(), random.pick(['at once', 'after the answer', 'half closed'])),
          ),
        );
      }
      over.abort();
      const { sent, good, bad, refused } = await others;
      assert.deepEqual({ bad, refused, good }, { bad: [], refused: 0, good: sent });
      assert.ok(sent > 0);
      assert.deepEqual(server.workers(), workers);
      assert.deepEqual(
        server
          .log()
          .filter(({ level }) => level >= 50)
          .map(({ msg }) => msg),
        [],
      );
    });
  }
});
