/**
 * `--certfile` and `--keyfile`: TLS on TCP binds, what a wrong pair does, new certificates at a reload, and that
 * neither a reload nor a stop loses anything.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import * as tls from 'node:tls';
import { Connections } from '../src/worker/connections.ts';
import { fasticorn } from './support/command.ts';
import { reloaded, settled, statusOf } from './support/control.ts';
import { fetchFrom, startOnPort } from './support/http.ts';
import { load } from './support/load.ts';
import { freePort } from './support/port.ts';
import { v1 } from './support/proxy-protocol.ts';
import { afterwards, app, type Server, startServer, temporaryDirectory, until } from './support/server.ts';
import { encryptedKey, pair, tlsFlags } from './support/tls.ts';

const [first, second] = [pair('first'), pair('second')];
const lineOf = (server: Server, pattern: RegExp) => server.log().find(({ msg }) => pattern.test(msg));

/** One request over TLS, on a connection of its own, perhaps after other bytes; with the certificate that was shown. */
async function ask(port: number, path = '/', options: tls.ConnectionOptions = {}, before?: Buffer) {
  const raw = connect(port, '127.0.0.1');
  if (before) raw.write(before);
  const socket = tls.connect({ socket: raw, ca: [first.ca, second.ca], servername: 'localhost', ...options });
  await once(socket, 'secureConnect');
  const { CN } = socket.getPeerCertificate().subject;
  let text = '';
  socket.on('data', (data) => {
    text += data;
  });
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  await once(socket, 'end');
  socket.end();
  const body = text.slice(text.indexOf('\r\n\r\n') + 4);
  return { CN, status: Number(text.slice(9, 12)), body, resumed: socket.isSessionReused() };
}

describe('With a certificate, a TCP bind', () => {
  it('speaks TLS, the app sees that, and the access log has its lines', async (t) => {
    const { server, target } = await startOnPort(t, app('mirror.mjs'), tlsFlags(first));
    const { CN, status, body } = await ask(target.port);
    assert.deepEqual([CN, status], ['fasticorn test first', 200]);
    const seen = JSON.parse(body);
    assert.deepEqual([seen.protocol, seen.ip, seen.peerAtConnection], ['https', '127.0.0.1', '127.0.0.1']);
    await until(() => server.accessLog().length === 1, 'the access log');
    assert.equal(server.accessLog()[0]!.remoteAddress, '127.0.0.1');
    assert.ok(lineOf(server, /try: curl -k https:/));
    assert.equal(await server.stop(), 0);
  });

  it('speaks nothing else: who does is cut off, at the level of debug, and harms nobody', async (t) => {
    const { server, target } = await startOnPort(t, app('mirror.mjs'), [
      ...tlsFlags(first),
      ...['-w', '1', '--log-level', 'debug'],
    ]);
    await assert.rejects(fetchFrom(target, '/'));
    const old: tls.ConnectionOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1' };
    // What the server answers, and not what this client refuses to offer.
    await assert.rejects(ask(target.port, '/', { ...old, ciphers: 'DEFAULT:@SECLEVEL=0' }), {
      code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
    });
    const gone = connect(target.port, '127.0.0.1');
    gone.end(Buffer.from([0x16, 0x03, 0x01]));
    await once(gone.resume(), 'close');
    assert.equal((await ask(target.port)).status, 200);
    await until(() => lineOf(server, /a TLS handshake failed/), 'the line');
    assert.deepEqual(
      server.log().filter(({ level }) => level >= 40),
      [],
    );
    assert.equal(await server.stop(), 0);
  });

  it('leaves a Unix socket beside it as it is', async (t) => {
    const directory = temporaryDirectory(t);
    const socket = join(directory, 'app.sock');
    const port = await freePort();
    const binds = ['-b', `127.0.0.1:${port}`, '-b', `unix:${socket}`];
    await startServer(t, app('mirror.mjs'), [...binds, ...tlsFlags(first)], { socket });
    assert.equal((await fetchFrom({ socketPath: socket }, '/')).json().protocol, 'http');
    assert.equal(JSON.parse((await ask(port)).body).protocol, 'https');
  });

  it('resumes the sessions of every worker', async (t) => {
    const { target } = await startOnPort(t, app('echo.mjs'), [...tlsFlags(first), '-w', '2']);
    let session: Buffer | undefined;
    const dial = async () => {
      const socket = tls.connect({
        ...{ port: target.port, ca: first.ca, maxVersion: 'TLSv1.2', servername: 'localhost' },
        ...(session ? { session } : {}),
      });
      await once(socket, 'secureConnect');
      socket.write('GET /pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      const [answer] = await once(socket, 'data');
      session ??= socket.getSession();
      const reused = socket.isSessionReused();
      socket.destroy();
      return { reused, pid: String(answer).split('\r\n\r\n')[1] };
    };
    await dial();
    const pids = new Set<unknown>();
    await until(async () => {
      const { reused, pid } = await dial();
      assert.ok(reused);
      return pids.add(pid).size === 2;
    }, 'both workers');
  });

  it('takes a PROXY protocol header before the handshake, in one piece with it or alone', async (t) => {
    const { server, target } = await startOnPort(t, app('mirror.mjs'), [
      ...tlsFlags(first),
      ...['--proxy-protocol', '-w', '1'],
    ]);
    const header = v1({ address: '203.0.113.7', port: 1 });
    const { ip, peer, protocol } = JSON.parse((await ask(target.port, '/', {}, header)).body);
    assert.deepEqual([ip, peer, protocol], ['203.0.113.7', '203.0.113.7', 'https']);
    await assert.rejects(ask(target.port));
    // As an NLB does it: the header comes with the beginning of the handshake.
    const proxy = createServer((near) => {
      const far = connect(target.port, '127.0.0.1');
      near.once('data', (hello) => {
        far.write(Buffer.concat([header, hello]));
        near.pipe(far).pipe(near);
      });
    });
    await once(proxy.listen(0, '127.0.0.1'), 'listening');
    t.after(() => proxy.close());
    const through = await ask((proxy.address() as { port: number }).port);
    assert.equal(JSON.parse(through.body).ip, '203.0.113.7');
    assert.equal(await server.stop(), 0);
  });
});

describe('A reload', () => {
  it('has new connections see a new certificate, while old ones finish what they have begun', async (t) => {
    const directory = temporaryDirectory(t);
    const files = { cert: join(directory, 'server.crt'), key: join(directory, 'server.key') };
    const put = ({ cert, key }: { cert: string; key: string }) => {
      copyFileSync(cert, files.cert);
      copyFileSync(key, files.key);
    };
    put(first);
    const { server, target } = await startOnPort(t, app('lifecycle.mjs'), ['-w', '1', ...tlsFlags(files)], {
      env: { MARKS: join(directory, 'marks') },
    });
    await settled(server, 1);
    const enough = join(directory, 'enough');
    const old = ask(target.port, `/held?until=${enough}`);
    await until(async () => (await statusOf(server)).workers[0]!.inFlight === 1, 'the request in flight');
    assert.equal((await ask(target.port)).CN, 'fasticorn test first');

    // Half a deploy: the key does not fit, and nothing changes.
    copyFileSync(second.cert, files.cert);
    server.kill('SIGHUP');
    await until(() => lineOf(server, /reload failed.*it is not the key of/), 'the failure');
    assert.equal((await ask(target.port)).CN, 'fasticorn test first');

    put(second);
    server.kill('SIGHUP');
    await reloaded(server, 2);
    assert.equal((await ask(target.port)).CN, 'fasticorn test second');
    writeFileSync(enough, '');
    const { CN, body } = await old;
    assert.deepEqual([CN, body], ['fasticorn test first', 'held']);
    assert.equal(await server.stop(), 0);
  });

  it('loses nothing, and neither does a stop', async (t) => {
    const { server, target } = await startOnPort(t, app('echo.mjs'), [...tlsFlags(first), '-w', '2']);
    await settled(server, 2);
    const ending = new AbortController();
    const connections = [true, false].map((keepAlive) =>
      load({
        ...{ to: target, secure: true, keepAlive, signal: ending.signal, seconds: 60 },
        ...{ connections: 8, connect: { ca: first.ca, servername: 'localhost' } },
      }),
    );
    // Never says anything, and is not waited for longer than any other idle connection.
    const silent = connect(target.port, '127.0.0.1');
    const left = once(silent.resume(), 'end').then(() => silent.end());
    for (let round = 2; round < 5; round++) {
      server.kill('SIGHUP');
      await reloaded(server, round);
    }
    ending.abort();
    for (const { good, bad, refused } of await Promise.all(connections)) {
      assert.deepEqual([bad, refused], [[], 0]);
      assert.ok(good > 20, `${good}`);
    }
    await left;
    const slow = ask(target.port, '/token/x?delay=1000');
    await until(async () => (await ask(target.port)).status === 200, 'the request to be in flight');
    server.kill('SIGTERM');
    assert.equal((await slow).body, 'token x');
    assert.equal((await server.exited).code, 0);
    assert.ok(!lineOf(server, /had to be cut/));
  });
});

describe('A connection to a server that has TLS of its own', () => {
  /** Such a server, and a connection to it that has said nothing yet. */
  async function begin(t: TestContext) {
    const [cert, key] = [first.cert, first.key].map((file) => readFileSync(file));
    const server = https.createServer({ cert, key }, (_request, response) => response.end('secured'));
    const connections = new Connections();
    connections.watch(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const raw = connect(port, '127.0.0.1').on('error', () => {});
    afterwards(t, () => {
      raw.destroy();
      connections.destroyAll();
      server.close();
    });
    await until(() => connections.size === 1, 'the connection');
    return { connections, raw };
  }

  it('is one connection from its first moment to its last, and busy with a request only', async (t) => {
    const { connections, raw } = await begin(t);
    const socket = tls.connect({ socket: raw, ca: first.ca, servername: 'localhost' });
    await once(socket, 'secureConnect');
    assert.deepEqual([connections.accepted, connections.size, connections.busy], [1, 1, 0]);
    connections.closeAfterResponse();
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    assert.match(await text(socket), /\r\nConnection: close\r\n(.*\r\n)*\r\n.*secured$/);
    await until(() => connections.size === 0, 'the end');
    assert.equal(connections.accepted, 1);
  });

  it('is ended by a drain when its handshake does not come to an end', async (t) => {
    const { connections, raw } = await begin(t);
    // The beginning of a handshake.
    raw.write(Buffer.from([22, 3, 1]));
    const ended = once(raw.resume(), 'end');
    connections.closeAfterResponse();
    connections.endIdle(0);
    await ended;
    raw.end();
    await until(() => connections.size === 0, 'the end');
  });

  it('is cut with the others', async (t) => {
    const { connections } = await begin(t);
    assert.equal(connections.destroyAll(), 0);
    await until(() => connections.size === 0, 'the end');
  });
});

describe('A certificate that cannot be used', () => {
  const wrong = (t: TestContext): Record<string, [string[], RegExp]> => {
    const text = join(temporaryDirectory(t), 'text');
    writeFileSync(text, 'no PEM');
    return {
      alone: [
        ['--certfile', first.cert],
        /^fasticorn: --certfile: ".*first\.crt" is not valid: expected --keyfile with it$/,
      ],
      'a key alone': [['--keyfile', first.key], /--keyfile: ".*" is not valid: expected --certfile with it$/],
      missing: [
        tlsFlags({ ...first, cert: '/nowhere.crt' }),
        /--certfile \/nowhere\.crt: cannot read it: ENOENT/,
      ],
      'of another key': [
        tlsFlags({ ...first, key: second.key }),
        /--keyfile .*second\.key: it is not the key of .*first\.crt/,
      ],
      'no certificate': [
        tlsFlags({ ...first, cert: text }),
        /--certfile .*text: expected a certificate in PEM/,
      ],
      'no key': [tlsFlags({ ...first, key: text }), /--keyfile .*text: expected a private key in PEM/],
      encrypted: [
        tlsFlags({ ...first, key: encryptedKey }),
        /--keyfile .*encrypted\.key: the key is encrypted.*openssl pkey/,
      ],
    };
  };

  it('is told in one line, by --check-config and before anything is bound', async (t) => {
    for (const [what, [args, message]] of Object.entries(wrong(t))) {
      for (const more of [['--check-config'], []]) {
        const run = [...more, '-b', `127.0.0.1:${await freePort()}`, ...args, app('plain.mjs')];
        const { code, stderr } = await fasticorn(t, run, { cwd: '/' });
        assert.equal(code, 1, `${what}: ${stderr}`);
        assert.match(stderr.trimEnd(), message, what);
        assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
      }
    }
  });

  it('is one for Unix sockets only', async (t) => {
    const binds = ['-b', 'unix:/tmp/none.sock', '-b', 'unix:@none'];
    const run = [...binds, ...tlsFlags(first), '--check-config', app('plain.mjs')];
    const { code, stderr } = await fasticorn(t, run, { cwd: '/' });
    assert.equal(code, 1);
    assert.match(stderr, /--certfile: .*expected a --bind with a TCP port: on a Unix socket there is no TLS/);
  });
});
