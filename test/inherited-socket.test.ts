/**
 * Sockets that whoever starts the server has bound: `fd://3`, and systemd's socket activation.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, lstatSync, openSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { activatedSockets } from '../src/socket-activation.ts';
import { fasticorn } from './support/command.ts';
import { fetchFrom } from './support/http.ts';
import { Lineage } from './support/lineage.ts';
import { load } from './support/load.ts';
import { need } from './support/need.ts';
import { boundPath, boundPort } from './support/passed.ts';
import { accepts, freePort } from './support/port.ts';
import { app, Server, type ServerOptions, startServer, temporaryDirectory, until } from './support/server.ts';
import { FILE_DECIDES, Site } from './support/site.ts';
import { pair, tlsFlags } from './support/tls.ts';

const ready = (server: Server) =>
  until(() => server.log().some(({ msg }) => msg.startsWith('ready')), 'the server to be ready');

/** Starts the echo app on passed sockets, and waits until it serves. */
async function start(
  t: TestContext,
  args: readonly string[],
  options: ServerOptions & { file?: string },
): Promise<Server> {
  const { file = app('echo.mjs'), ...rest } = options;
  const server = await startServer(t, file, args, { ...rest, early: true });
  await ready(server);
  return server;
}

/** Where the commands find a server whose sockets say nothing about that. */
const controlOf = (t: TestContext) => join(temporaryDirectory(t), 'ctl');

describe('a socket that was passed on', () => {
  it('may be a port', async (t) => {
    const { fd, port } = boundPort(t);
    const server = await start(t, ['-b', 'fd://3'], { passed: [fd] });
    assert.equal((await fetchFrom({ port }, '/')).body, 'hello');
    assert.match(server.log()[0]!.msg, new RegExp(` on 127\\.0\\.0\\.1:${port}, `));
    assert.equal(await server.stop(), 0);
  });

  it('may be a Unix socket, whose path is left alone at the end', async (t) => {
    const path = join(temporaryDirectory(t), 'theirs.sock');
    const { fd } = boundPath(t, path);
    const { ino, mode } = lstatSync(path);
    const server = await start(t, ['-b', 'fd://3'], { passed: [fd] });
    assert.equal((await fetchFrom({ socketPath: path }, '/')).body, 'hello');
    assert.match(server.log()[0]!.msg, new RegExp(` on unix:${path}, `));
    assert.equal(await server.stop(), 0);
    const after = lstatSync(path);
    assert.deepEqual([after.ino, after.mode], [ino, mode]);
  });

  it('may be one of several, among paths and ports', async (t) => {
    const path = join(temporaryDirectory(t), 'theirs.sock');
    const [passed, own] = [boundPort(t), await freePort()];
    const server = await startServer(
      t,
      app('echo.mjs'),
      ['-b', `fd://4,127.0.0.1:${own}`, '-b', `unix:${path}.own`, '-b', 'fd://3'],
      { passed: [passed.fd, boundPath(t, path).fd], socket: `${path}.own` },
    );
    for (const to of [
      ...[{ port: passed.port }, { port: own }],
      ...[{ socketPath: path }, { socketPath: `${path}.own` }],
    ])
      assert.equal((await fetchFrom(to, '/')).body, 'hello');
    assert.equal(await server.stop(), 0);
    assert.deepEqual([existsSync(path), existsSync(`${path}.own`)], [true, false]);
  });

  it('is trusted as what it is: a proxy on a Unix socket, nobody on a port', async (t) => {
    const path = join(temporaryDirectory(t), 'theirs.sock');
    const { fd, port } = boundPort(t);
    const site = new Site(t);
    site.write('app.mjs', "export default async (app) => { app.get('/ip', async ({ ip }) => ip); };");
    await start(t, ['-b', 'fd://3', '-b', 'fd://4', '-w', '1'], {
      ...{ passed: [boundPath(t, path).fd, fd], file: join(site.directory, 'app.mjs') },
    });
    const headers = { 'x-forwarded-for': '203.0.113.7' };
    assert.equal((await fetchFrom({ socketPath: path }, '/ip', { headers })).body, '203.0.113.7');
    assert.equal((await fetchFrom({ port }, '/ip', { headers })).body, '127.0.0.1');
  });

  it('is kept by reloads and upgrades, and its next server goes on with it: nothing is lost', async (t) => {
    const lineage = new Lineage(t);
    const { fd, port } = boundPort(t);
    const control = controlOf(t);
    const args = ['-b', 'fd://3', '--control-socket', control, '--access-logfile', 'off'];
    const first = await start(t, args, { passed: [fd], env: lineage.env });
    const enough = new AbortController();
    const running = load({ to: { port }, connections: 16, signal: enough.signal });
    const ask = async (...words: string[]) => {
      const { code, stderr } = await fasticorn(t, [...words, '--control-socket', control], { cwd: '/' });
      assert.equal(code, 0, stderr);
    };
    try {
      await ask('reload');
      await ask('upgrade');
      await first.exited;
      await ask('upgrade');
      await until(() => lineage.arbiters().length === 1, 'the old arbiter to be gone');
      await ask('stop');
      // Who bound the socket has it still: those who come meanwhile wait.
      await start(t, args, { passed: [fd], env: lineage.env });
    } finally {
      enough.abort();
    }
    const { good, bad, refused } = await running;
    assert.deepEqual([bad, refused], [[], 0]);
    assert(good > 100);
  });

  it('keeps its place when a reload adds others, and cannot come back once it was given up', async (t) => {
    const site = new Site(t);
    site.deploy('one');
    const config = (...bind: string[]) =>
      site.write('fasticorn.config.json', JSON.stringify({ bind, controlSocket: site.control }));
    const { fd, port } = boundPort(t);
    config('fd://3');
    const server = await start(t, [], {
      ...{ file: './app.mjs', cwd: site.directory, unbound: true, passed: [fd], env: FILE_DECIDES },
    });
    config('fd://3', `unix:${site.socket}`);
    assert.equal((await site.ask('reload')).code, 0);
    assert.deepEqual([await site.version({ port }), await site.version()], ['one', 'one']);
    config(`unix:${site.socket}`);
    assert.equal((await site.ask('reload')).code, 0);
    config('fd://3', `unix:${site.socket}`);
    const { code, stderr } = await site.ask('reload');
    assert.equal(code, 1);
    assert.match(
      stderr,
      /--bind fd:\/\/3: a descriptor can be passed on at the start only; restart the server/,
    );
    assert.equal(await site.version(), 'one');
    assert.equal(await server.stop(), 0);
  });
});

describe('a descriptor is refused if it is', () => {
  const handleOf = (socket: object) => (socket as { _handle: { fd: number } })._handle.fd;
  const cases: [what: string, reason: RegExp, make: (t: TestContext) => Promise<number> | number][] = [
    [
      'a file',
      /descriptor 3 is not a socket; whoever starts the server has to pass one on/,
      () => openSync('/dev/null', 'r'),
    ],
    [
      'a datagram socket',
      /is not a stream socket of TCP or Unix \(EINVAL\)/,
      async (t) => {
        const socket = createSocket('udp4').bind(0, '127.0.0.1');
        await once(socket, 'listening');
        t.after(() => socket.close());
        // Node 26 has no `_handle` here any more.
        const state = Object.getOwnPropertySymbols(socket).find((one) => one.description === 'state symbol')!;
        return (socket as unknown as Record<symbol, { handle: { fd: number } }>)[state]!.handle.fd;
      },
    ],
    [
      'a TCP connection',
      /it is a connection, not a socket that listens/,
      async (t) => handleOf(await connection(t, { port: 0, host: '127.0.0.1' })),
    ],
    [
      'a connection to a Unix socket',
      /it is a connection, not a socket that listens/,
      async (t) => handleOf(await connection(t, { path: join(temporaryDirectory(t), 'a.sock') })),
    ],
  ];
  for (const [what, reason, make] of cases) {
    it(what, async (t) => {
      const { code, stderr } = await fasticorn(t, ['-b', 'fd://3', app('echo.mjs')], {
        passed: [await make(t)],
      });
      assert.equal(code, 1);
      assert.match(stderr, /^fasticorn: --bind fd:\/\/3: [^\n]+\n$/);
      assert.match(stderr, reason);
    });
  }

  it('a Unix socket, while there is a certificate but no port for it', async (t) => {
    const path = join(temporaryDirectory(t), 'theirs.sock');
    const args = ['-b', 'fd://3', ...tlsFlags(pair('first')), app('echo.mjs')];
    const { code, stderr } = await fasticorn(t, args, { passed: [boundPath(t, path).fd] });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^fasticorn: --certfile [^\n]*: expected a --bind with a TCP port: on a Unix socket there is no TLS, and fd:\/\/3 is unix:[^\n]*theirs\.sock\n$/,
    );
  });

  it('not open', async (t) => {
    const { code, stderr } = await fasticorn(t, ['-b', 'fd://999', app('echo.mjs')]);
    assert.equal(code, 1);
    assert.equal(
      stderr,
      'fasticorn: --bind fd://999: descriptor 999 is not open; whoever starts the server has to pass it on\n',
    );
  });

  it("one of Node's own", async (t) => {
    const { code, stderr } = await fasticorn(t, ['-b', 'fd://5', app('echo.mjs')]);
    assert.equal(code, 1);
    assert.match(stderr, /^fasticorn: --bind fd:\/\/5: descriptor 5 is not a socket; [^\n]+\n$/);
  });
});

/** A connection to a server of this process. */
async function connection(
  t: TestContext,
  to: { port: number; host: string } | { path: string },
): Promise<Socket> {
  const server = createServer((socket) => t.after(() => socket.destroy())).listen(to);
  await once(server, 'listening');
  t.after(() => server.close());
  const address = server.address();
  const socket = typeof address === 'string' ? connect(address) : connect(address!.port, '127.0.0.1');
  await once(socket, 'connect');
  t.after(() => socket.destroy());
  return socket;
}

describe('the sockets that systemd passes', () => {
  it('are those from 3 on, if they are meant for this process', () => {
    const meant = { LISTEN_FDS: '2', LISTEN_PID: '42' };
    assert.deepEqual(activatedSockets(meant, 42), [
      { kind: 'fd', fd: 3 },
      { kind: 'fd', fd: 4 },
    ]);
    assert.deepEqual(activatedSockets(meant, 43), []);
    for (const LISTEN_FDS of ['', '0', '-1', 'x']) {
      assert.deepEqual(activatedSockets({ ...meant, LISTEN_FDS }, 42), []);
    }
    assert.deepEqual(activatedSockets({}, 42), []);
  });

  it('replace every bind, also after a reload and an upgrade', need('systemd-socket-activate'), async (t) => {
    const lineage = new Lineage(t);
    const site = new Site(t);
    const port = await freePort();
    site.write(
      'app.mjs',
      `export default async (app) => {
           app.get('/env', async () => Object.keys(process.env).filter((name) => name.startsWith('LISTEN')));
           app.get('/pid', async () => String(process.ppid));
         };`,
    );
    const env = { WEB_CONCURRENCY: '1', ...lineage.env };
    const command = [process.execPath, 'dist/cli.js', '-b', `unix:${site.socket}`];
    const child = spawn(
      'systemd-socket-activate',
      [
        ...['-l', `127.0.0.1:${port}`, ...Object.entries(env).map(([name, value]) => `-E${name}=${value}`)],
        ...[...command, '--control-socket', site.control, join(site.directory, 'app.mjs')],
      ],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        cwd: new URL('..', import.meta.url),
        env: { ...process.env, ...env },
      },
    );
    const server = new Server(child, site.socket);
    // It waits for the first connection before it starts the server, which has the pid by then.
    await until(() => accepts(port), 'systemd to listen');
    await ready(server);
    const arbiter = async () => Number((await fetchFrom({ port }, '/pid')).body);
    assert.equal(await arbiter(), child.pid);
    assert.deepEqual((await fetchFrom({ port }, '/env')).json(), []);
    assert.equal((await site.status()).settings.bind?.source, 'env LISTEN_FDS');
    assert.equal((await site.ask('reload')).code, 0);
    for (const before of [child.pid, await arbiter()]) {
      const { code, stderr } = await site.ask('upgrade');
      assert.equal(code, 0, stderr);
      await until(async () => (await arbiter()) !== before && lineage.arbiters().length === 1, 'the next');
      assert.deepEqual((await fetchFrom({ port }, '/env')).json(), []);
    }
    assert.equal(existsSync(site.socket), false);
    assert.equal((await site.ask('stop')).code, 0);
  });
});
