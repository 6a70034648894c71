/**
 * `--limit-request-line`, `--limit-request-fields` and `--limit-request-field-size`: what is over a limit is answered
 * 414 or 431 before the app sees it, and is in the access log; what is not is left alone.
 */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { exchange, fetchFrom, startOnPort, type Target } from './support/http.ts';
import { RawConnection } from './support/raw.ts';
import { app, type Server, startServer, until } from './support/server.ts';

const limits = [
  ...['--limit-request-line', '4094', '--limit-request-fields', '10', '--limit-request-field-size', '8190'],
  ...['-w', '1'],
];

async function start(t: TestContext, args: readonly string[] = limits, env = {}) {
  const server = await startServer(t, app('limits.mjs'), args, { env });
  return { server, to: { socketPath: server.socket } };
}

const bytes = (line: string, ...fields: string[]) =>
  [line, 'Host: x', 'Connection: close', ...fields, '', ''].join('\r\n');
/** Node has told whoever expects it to continue before anybody could look at the request. */
const statusOf = (answer: string) =>
  Number(/^(?:HTTP\/1\.1 100 Continue\r\n\r\n)?HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
const send = async (to: Target, line: string, ...fields: string[]) =>
  statusOf(await exchange(to, bytes(line, ...fields)));

/** A request line of so many bytes. */
const lineOf = (length: number) => `GET /${'a'.repeat(length - 'GET / HTTP/1.1'.length)} HTTP/1.1`;
/** So many fields, with the two that every request here has. */
const fieldsOf = (count: number) => Array.from({ length: count - 2 }, (_, index) => `X-${index}: y`);
/** A field of so many bytes. */
const fieldOf = (length: number) => `X-Long: ${'b'.repeat(length - 'X-Long'.length)}`;

const seenBy = async (to: Target) => (await fetchFrom(to, '/seen')).json<string[]>();

async function loggedStatuses(server: Server, count: number): Promise<unknown[]> {
  await until(() => server.accessLog().length >= count, `${count} lines in the access log`);
  return server.accessLog().map(({ status }) => status);
}

describe('A limit', () => {
  it('lets pass what just keeps to it, and refuses what is one more, unseen by the app but not by the log', async (t) => {
    const { server, to } = await start(t);
    assert.equal(await send(to, lineOf(4094)), 200);
    assert.equal(await send(to, 'GET /fields HTTP/1.1', ...fieldsOf(10)), 200);
    assert.equal(await send(to, 'GET /field HTTP/1.1', fieldOf(8190)), 200);
    assert.equal((await seenBy(to)).length, 3);
    assert.equal(await send(to, lineOf(4095)), 414);
    assert.equal(await send(to, 'GET /fields HTTP/1.1', ...fieldsOf(11)), 431);
    assert.equal(await send(to, 'GET /field HTTP/1.1', fieldOf(8191)), 431);
    assert.equal((await seenBy(to)).length, 3);
    assert.deepEqual(await loggedStatuses(server, 8), [200, 200, 200, 200, 414, 431, 431, 200]);
    assert.equal(await server.stop(), 0);
  });

  it('holds for requests that expect something, and for upgrades, whether the app listens to them or not', async (t) => {
    for (const LISTEN of ['', '1']) {
      const { server, to } = await start(t, limits, { LISTEN });
      const kinds = ['Expect: 100-continue', 'Expect: a-miracle', 'Upgrade: websocket'];
      for (const kind of kinds) {
        const fields = kind.startsWith('Upgrade') ? [kind, 'Connection: upgrade'] : [kind];
        assert.equal(await send(to, lineOf(4095), ...fields), 414, `${kind} ${LISTEN}`);
      }
      assert.deepEqual(await seenBy(to), []);
      assert.deepEqual(await loggedStatuses(server, 4), [414, 414, 414, 200]);
    }
  });

  it('may be above what Node allows by default', async (t) => {
    const { to } = await start(t, ['--limit-request-line', '40000', '--limit-request-field-size', '30000']);
    assert.equal(await send(to, lineOf(39_000), fieldOf(29_000)), 200);
    assert.equal(await send(to, lineOf(40_001)), 414);
    assert.equal(await send(to, lineOf(90_000)), 431);
  });

  it('for the line gives no more room to the fields', async (t) => {
    const { to } = await start(t, ['--limit-request-line', '1048576']);
    assert.equal(await send(to, lineOf(100_000), fieldOf(15_000)), 200);
    assert.equal(await send(to, lineOf(100), fieldOf(100_000)), 431);
    assert.equal(await send(to, lineOf(100), fieldOf(9_000), fieldOf(9_000)), 431);
  });

  it('closes the connection after the answer, which arrives while a body is still being sent', async (t) => {
    const { target } = await startOnPort(t, app('limits.mjs'), limits);
    const body = 'c'.repeat(4 << 20);
    const head = bytes(lineOf(4095).replace('GET', 'PUT'), `Content-Length: ${body.length}`);
    const answer = await exchange(target, head.replace('Connection: close\r\n', '') + body);
    assert.equal(statusOf(answer), 414);
    assert.match(answer, /\r\nConnection: close\r\n/);
    assert.match(answer, /"message":"the request line is too long"\}$/);
  });

  it('leaves keep-alive and pipelining as they are for all others', async (t) => {
    const { server } = await start(t);
    const connection = await RawConnection.open(server.socket);
    connection.get('/one');
    connection.post('/two', 'a body');
    connection.get('/three');
    await until(() => connection.answers === 3, 'three answers');
    connection.send(`${lineOf(5000)}\r\nHost: x\r\n\r\n`);
    await until(() => connection.ended, 'the end');
    assert.equal(connection.answers, 4);
    assert.match(connection.received, /a body/);
  });
});

describe('Without limits', () => {
  it('requests are as Node takes them', async (t) => {
    const { to } = await start(t, []);
    assert.equal(await send(to, lineOf(15_000)), 200);
    assert.equal(await send(to, 'GET / HTTP/1.1', ...fieldsOf(500)), 200);
    assert.equal(await send(to, lineOf(17_000)), 431);
  });
});
