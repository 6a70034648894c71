/**
 * The control socket as curl, health probes and our own command line see it, with a make-believe server behind it.
 */
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { type ControlFace, ControlSocket } from '../src/arbiter/control.ts';
import type { Command, Outcome } from '../src/commands.ts';
import { verbNames } from '../src/commands.ts';
import { ask, askToYield } from '../src/control-client.ts';
import { UserError } from '../src/errors.ts';
import type { Status } from '../src/status.ts';
import { exchange, fetchFrom } from './support/http.ts';
import { need } from './support/need.ts';
import { deadSocket, fingerprint, fullQueue, liveServer } from './support/neighbours.ts';
import { RawConnection } from './support/raw.ts';
import { temporaryDirectory, until } from './support/server.ts';

/** A server that does nothing but remember what it was asked. */
class Pretender implements ControlFace {
  asked: Command[] = [];
  outcome: Outcome | Error | Promise<Outcome> = { ok: true, message: 'done' };
  state = { healthy: true, ready: true } as ReturnType<ControlFace['health']>;
  yields = 0;
  yieldsDone = 0;
  yieldsEnded = 0;
  mayYield: Outcome = { ok: true, message: 'the path is yours' };

  async status() {
    return { wanted: 4, workers: [] } as unknown as Status;
  }
  health() {
    return this.state;
  }
  async perform(command: Command) {
    this.asked.push(command);
    if (this.outcome instanceof Error) throw this.outcome;
    return this.outcome;
  }
  yieldPath() {
    if (this.mayYield.ok) this.yields++;
    return this.mayYield;
  }
  yieldDone() {
    this.yieldsDone++;
    return { ok: true, message: 'on our way' };
  }
  yieldEnded() {
    this.yieldsEnded++;
  }
}

const socketIn = (t: TestContext) => join(temporaryDirectory(t), 'app.sock.ctl');
const inode = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.ino;

async function open(t: TestContext, path: string, face: ControlFace = new Pretender()) {
  const control = new ControlSocket(path, face);
  t.after(() => control.close());
  await control.open();
  return control;
}

/** A control socket that can be reached. */
async function start(t: TestContext) {
  const path = socketIn(t);
  const face = new Pretender();
  const control = await open(t, path, face);
  await control.publish({ replace: false });
  const to = { socketPath: path };
  const get = (url: string, method = 'GET') => fetchFrom(to, url, { method });
  const post = (url: string) => get(url, 'POST');
  return { path, to, face, control, get, post };
}

/** A promise, and the way to fulfil it. */
function later<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

async function refuses(promise: Promise<unknown>, reason: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert(error instanceof UserError, String(error));
    assert.match(error.message, reason);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
}

describe('the name of the control socket', () => {
  it('is hidden until it is published, and private from the start', async (t) => {
    const umask = process.umask(0);
    t.after(() => process.umask(umask));
    const path = socketIn(t);
    const control = await open(t, path);
    assert.equal(process.umask(), 0);
    assert.equal(existsSync(path), false);
    assert.equal(control.isPublished(), false);
    const [hidden, ...others] = readdirSync(dirname(path));
    assert.deepEqual(others, []);
    assert.match(hidden!, /^\.app\.sock\.ctl\.[0-9a-f]{8}$/);
    assert.equal(lstatSync(join(dirname(path), hidden!)).mode & 0o777, 0o600);
    await control.publish({ replace: false });
    assert.equal(control.isPublished(), true);
    assert.equal(lstatSync(path).mode & 0o777, 0o600);
    assert.equal((await fetchFrom({ socketPath: path }, '/status')).status, 200);
  });

  const root = process.getuid?.() === 0;
  it('is refused to other users', { skip: !root && 'needs root' }, async (t) => {
    const { path } = await start(t);
    const code = `require('node:net').connect(process.argv[1]).on('connect', () => process.exit(0))
      .on('error', (error) => { console.log(error.code); process.exit(1) })`;
    const { stdout } = spawnSync(process.execPath, ['-e', code, path], {
      ...{ uid: 65534, gid: 65534, encoding: 'utf8', cwd: '/' },
    });
    assert.equal(stdout, 'EACCES\n');
  });

  it('leaves nothing behind at the end, and a foreign one as it is', async (t) => {
    const first = await start(t);
    await first.control.close();
    assert.deepEqual(readdirSync(dirname(first.path)), []);

    const second = await start(t);
    const beside = `${second.path}.other`;
    await liveServer(t, beside);
    renameSync(beside, second.path);
    const before = fingerprint(second.path);
    assert.equal(second.control.isPublished(), false);
    await second.control.close();
    assert.equal(fingerprint(second.path), before);
    assert.deepEqual(readdirSync(dirname(second.path)), ['app.sock.ctl']);
  });

  it('leaves nothing behind if it is never published', async (t) => {
    const path = socketIn(t);
    const control = await open(t, path);
    await control.close();
    await control.close();
    assert.deepEqual(readdirSync(dirname(path)), []);
  });

  it('is back when it was deleted', async (t) => {
    const { path, control, get } = await start(t);
    unlinkSync(path);
    control.check();
    assert.equal((await get('/healthz')).status, 200);
  });

  it('replaces that of a server that was killed', async (t) => {
    const path = socketIn(t);
    await deadSocket(path);
    const control = await open(t, path);
    await control.publish({ replace: false });
    assert.equal(control.isPublished(), true);
  });

  it('is not taken from a server that lives, unless that was agreed', async (t) => {
    const old = await start(t);
    const control = await open(t, old.path);
    const before = inode(old.path);
    await refuses(control.publish({ replace: false }), /^--control-socket \S+: another server is listening/);
    assert.equal(inode(old.path), before);

    await control.publish({ replace: true });
    assert.equal(control.isPublished(), true);
    assert.equal(old.control.isPublished(), false);
    old.control.check();
    await old.control.close();
    assert.equal(control.isPublished(), true);
    assert.equal((await fetchFrom({ socketPath: old.path }, '/healthz')).status, 200);
  });

  it('is that of the old server again when the new one gives up', async (t) => {
    const old = await start(t);
    const control = await open(t, old.path);
    await control.publish({ replace: true });
    await control.close();
    old.control.check();
    assert.equal(old.control.isPublished(), true);
  });

  for (const replace of [false, true]) {
    it(`never takes the place of a file${replace ? ', whatever was agreed' : ''}`, async (t) => {
      const path = socketIn(t);
      writeFileSync(path, 'precious');
      const control = await open(t, path);
      await refuses(control.publish({ replace }), /a file that is not a socket; it was left alone/);
      await control.close();
      assert.equal(readFileSync(path, 'utf8'), 'precious');
    });
  }

  it('may be new where one was to be replaced', async (t) => {
    const control = await open(t, socketIn(t));
    await control.publish({ replace: true });
    assert.equal(control.isPublished(), true);
  });

  const impossible: [what: string, path: (directory: string) => string, reason: RegExp][] = [
    [
      'in a directory that does not exist',
      (d) => join(d, 'run', 'ctl'),
      /^--control-socket \S+: the directory \S+ does not exist/,
    ],
    [
      'that is too long',
      (d) => join(d, 'n'.repeat(108)),
      /^--control-socket \S+: .* bytes, and the system takes/,
    ],
    ['below a file', (d) => join(d, 'file', 'ctl'), /^--control-socket \S+: \S+ is not a directory$/],
  ];
  for (const [what, path, reason] of impossible) {
    it(`${what} is refused in one line`, async (t) => {
      const directory = temporaryDirectory(t);
      writeFileSync(join(directory, 'file'), '');
      await refuses(open(t, path(directory)), reason);
      assert.deepEqual(readdirSync(directory), ['file']);
    });
  }

  it('in a directory where we may not create files is refused in one line', async (t) => {
    const path = join(temporaryDirectory(t), 'closed', 'ctl');
    mkdirSync(dirname(path), { mode: 0o555 });
    if (root) {
      // Root may do everything; another user may not.
      const code = `const { ControlSocket } = await import(${JSON.stringify(new URL('../src/arbiter/control.ts', import.meta.url).href)});
        await new ControlSocket(process.argv[1], {}).open().catch((error) => console.log(error.message));`;
      const { stdout, stderr } = spawnSync(
        process.execPath,
        ['--import', 'tsx', '--input-type=module', '-e', code, path],
        { uid: 65534, gid: 65534, encoding: 'utf8' },
      );
      assert.match(stdout, /^--control-socket \S+: no permission to create files in .*\(EACCES\)\n$/, stderr);
      return;
    }
    t.after(() => chmodSync(dirname(path), 0o755));
    await refuses(open(t, path), /no permission to create files in .*\(EACCES\)$/);
  });
});

describe('what the server tells of itself', () => {
  it('is its status, made to be read', async (t) => {
    const { get } = await start(t);
    const { status, headers, body } = await get('/status');
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'application/json');
    assert.equal(body, '{\n  "wanted": 4,\n  "workers": []\n}\n');
  });

  it('is whether it is healthy, and whether it wants traffic', async (t) => {
    const { face, get } = await start(t);
    assert.deepEqual((await get('/healthz')).json(), { healthy: true });
    assert.deepEqual((await get('/readyz')).json(), { ready: true });
    face.state = { healthy: true, ready: false, reason: 'paused' };
    assert.equal((await get('/healthz')).status, 200);
    const unready = await get('/readyz?verbose');
    assert.deepEqual([unready.status, unready.json()], [503, { ready: false, reason: 'paused' }]);
    face.state = { healthy: false, ready: false, reason: 'no workers' };
    const unhealthy = await get('/healthz');
    assert.deepEqual([unhealthy.status, unhealthy.json()], [503, { healthy: false, reason: 'no workers' }]);
  });

  it('has no body for HEAD', async (t) => {
    const { get, face } = await start(t);
    const { status, headers, body } = await get('/status', 'HEAD');
    assert.deepEqual([status, headers['content-type'], body], [200, 'application/json', '']);
    assert(Number(headers['content-length']) > 10);
    face.state = { healthy: false, ready: false };
    assert.equal((await get('/healthz', 'HEAD')).status, 503);
  });

  it('is for curl as well', need('curl'), async (t) => {
    const { path, face } = await start(t);
    const curl = (...args: string[]) =>
      promisify(execFile)('curl', ['-sS', '--unix-socket', path, ...args]).then(({ stdout }) => stdout);
    assert.match(await curl('http://x/status'), /^\{\n {2}"wanted": 4/);
    assert.equal(await curl('-X', 'POST', 'http://x/scale/+1'), '{"ok":true,"message":"done"}\n');
    // With a body, and an offer to speak HTTP/2.
    const big = join(dirname(path), 'big');
    writeFileSync(big, 'x'.repeat(3_000_000));
    assert.match(await curl('--data-binary', `@${big}`, 'http://x/stop/now'), /"ok":true/);
    assert.match(await curl('--http2', 'http://x/healthz'), /"healthy":true/);
    assert.deepEqual(face.asked, [
      { verb: 'scale', argument: '+1' },
      { verb: 'stop', argument: 'now' },
    ]);
  });

  it('is an error, and the server goes on, if it cannot be found out', async (t) => {
    const { face, get } = await start(t);
    face.status = async () => Promise.reject(new Error('oops'));
    face.health = () => {
      throw new Error('ouch');
    };
    for (const [url, message] of Object.entries({ '/status': 'oops', '/healthz': 'ouch' })) {
      const { status, json } = await get(url);
      assert.deepEqual([status, json()], [500, { ok: false, message }]);
    }
  });
});

describe('an order', () => {
  it('reaches the server, each verb of the table', async (t) => {
    const { face, post } = await start(t);
    for (const verb of verbNames) {
      assert.equal((await post(verb === 'scale' ? '/scale/3' : `/${verb}`)).status, 200);
    }
    assert.deepEqual(
      face.asked.map(({ verb }) => verb),
      verbNames,
    );
  });

  it('may have an argument, encoded or not', async (t) => {
    const { face, post } = await start(t);
    for (const url of ['/scale/+1', '/scale/%2B1', '/scale/-2?x=y', '/stop/now']) await post(url);
    assert.deepEqual(
      face.asked.map(({ argument }) => argument),
      ['+1', '+1', '-2', 'now'],
    );
  });

  it('is refused if its argument is wrong, and says what is right', async (t) => {
    const { face, post } = await start(t);
    const wrong = {
      '/scale': 'scale takes N|+N|-N',
      '/scale/many': 'scale takes N|+N|-N',
      '/scale/+': 'scale takes N|+N|-N',
      '/stop/later': 'stop takes now or nothing',
      '/reload/now': 'reload takes no argument',
      '/reload/': 'reload takes no argument',
      '/scale/%': 'the path is not properly encoded',
    };
    for (const [url, message] of Object.entries(wrong)) {
      const { status, json, body } = await post(url);
      assert.deepEqual([status, json()], [400, { ok: false, message }], url);
      assert.match(body, /^.*\n$/);
    }
    assert.deepEqual(face.asked, []);
  });

  it('that fails is a conflict, with the stack of the app', async (t) => {
    const { face, post } = await start(t);
    face.outcome = { ok: false, message: 'the app does not start', stack: 'Error: oops\n    at app.js:3' };
    const { status, json } = await post('/reload');
    assert.deepEqual([status, json()], [409, face.outcome]);
  });

  it('is answered when it is done', async (t) => {
    const { face, path } = await start(t);
    const done = later<Outcome>();
    face.outcome = done.promise;
    let answered = false;
    const asking = ask(path, 'POST', '/reload').finally(() => {
      answered = true;
    });
    await until(() => face.asked.length === 1, 'the order to arrive');
    assert.equal((await ask(path, 'GET', '/healthz')).status, 200);
    assert.equal(answered, false);
    done.resolve({ ok: true, message: 'generation 2 serves' });
    assert.deepEqual(await asking, { status: 200, body: { ok: true, message: 'generation 2 serves' } });
  });

  it('is answered at once with ?wait=no', async (t) => {
    const { face, post } = await start(t);
    face.outcome = new Promise(() => {});
    const { status, json } = await post('/reload?wait=no');
    assert.deepEqual([status, json()], [202, { ok: true, message: 'reload has begun' }]);
    assert.equal((await post('/stop/now?wait=no')).status, 202);
    assert.equal(face.asked.length, 2);
  });

  it('that is refused is refused also with ?wait=no', async (t) => {
    const { face, post } = await start(t);
    face.outcome = { ok: false, message: 'an upgrade is under way' };
    assert.equal((await post('/reload?wait=no')).status, 409);
  });

  it('that has begun when it is answered anyway has its outcome also with ?wait=no', async (t) => {
    const { face, post } = await start(t);
    face.outcome = { ok: false, message: 'it is stopping' };
    assert.equal((await post('/pause?wait=no')).status, 409);
  });

  it('that goes wrong is an error, and the server goes on', async (t) => {
    const { face, post } = await start(t);
    face.outcome = new Error('a mistake of ours');
    const { status, json } = await post('/reload');
    assert.deepEqual([status, json()], [500, { ok: false, message: 'a mistake of ours' }]);
    face.outcome = { ok: true, message: 'done' };
    assert.equal((await post('/reload')).status, 200);
  });

  it('is performed also if whoever gave it does not wait', async (t) => {
    const { face, path, get } = await start(t);
    const done = later<Outcome>();
    face.outcome = done.promise;
    const client = await RawConnection.open(path);
    client.post('/reload', '');
    await until(() => face.asked.length === 1, 'the order to arrive');
    client.close();
    done.resolve({ ok: true, message: 'done' });
    assert.equal((await get('/healthz')).status, 200);
  });
});

describe('a request for something else', () => {
  it('is told what there is', async (t) => {
    const { get, post } = await start(t);
    for (const url of ['/', '/nothing', '/status/x', '/scale/1/2', '//', '/constructor', '/__proto__', '*']) {
      const { status, json } = await get(url);
      assert.equal(status, 404, url);
      const { message } = json<Outcome>();
      for (const there of ['GET /status', 'POST /reload,', 'POST /scale/(N|+N|-N)', '/stop[/now]']) {
        assert(message.includes(there), there);
      }
    }
    assert.equal((await post('/nothing')).status, 404);
  });

  it('with the wrong method is told the right one', async (t) => {
    const { face, get } = await start(t);
    for (const [url, method, allow] of [
      ['/status', 'POST', 'GET, HEAD'],
      ['/healthz', 'DELETE', 'GET, HEAD'],
      ['/reload', 'GET', 'POST'],
      ['/scale/nonsense', 'HEAD', 'POST'],
      ['/yield', 'GET', 'POST'],
      ['/yield/done', 'GET', 'POST'],
    ]) {
      const { status, headers } = await get(url!, method);
      assert.deepEqual([status, headers.allow], [405, allow], `${method} ${url}`);
      assert.equal(headers['content-type'], 'application/json');
    }
    assert.deepEqual(face.asked, []);
    assert.equal(face.yields, 0);
  });

  it('that is no HTTP does no harm', async (t) => {
    const { to, face, get } = await start(t);
    const garbage = [
      '\0\0\0\0\r\n\r\n',
      'GET\r\n\r\n',
      'POST /stop HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n',
      `GET /${'x'.repeat(100_000)} HTTP/1.1\r\n\r\n`,
    ];
    for (const bytes of garbage) {
      // A reset is an answer too.
      assert.doesNotMatch(await exchange(to, bytes).catch(() => ''), /^HTTP\/1.1 2/);
    }
    assert.deepEqual(face.asked, []);
    assert.equal((await get('/healthz')).status, 200);
  });

  it('that ends in the middle of its body is no order', async (t) => {
    const { face, path, get } = await start(t);
    const client = await RawConnection.open(path);
    client.send('POST /stop HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx');
    client.close();
    assert.equal((await get('/healthz')).status, 200);
    assert.deepEqual(face.asked, []);
  });

  it('on the 101st connection is turned away, and served once there is room', async (t) => {
    const { path, get } = await start(t);
    const sockets: Socket[] = [];
    t.after(() => {
      for (const socket of sockets) socket.destroy();
    });
    for (let i = 0; i < 100; i++) {
      sockets.push(connect(path));
      await once(sockets[i]!, 'connect');
    }
    await refuses(ask(path, 'GET', '/status'), /the server went away before it answered/);
    sockets.pop()!.destroy();
    await until(
      () =>
        get('/status').then(
          () => true,
          () => false,
        ),
      'room',
    );
  });
});

describe('closing', () => {
  it('lets the answers that have begun arrive', async (t) => {
    const { face, path, control } = await start(t);
    const done = later<Outcome>();
    face.outcome = done.promise;
    const asking = ask(path, 'POST', '/stop');
    await until(() => face.asked.length === 1, 'the order to arrive');
    const closing = control.close();
    assert.equal(existsSync(path), false);
    done.resolve({ ok: true, message: 'all has ended' });
    assert.deepEqual(await asking, { status: 200, body: { ok: true, message: 'all has ended' } });
    await closing;
  });

  it('ends silent connections, and those whose answer does not come', async (t) => {
    const { face, path, control } = await start(t);
    face.outcome = new Promise(() => {});
    const silent = await RawConnection.open(path);
    const halting = await RawConnection.open(path);
    halting.send('GET /sta');
    const asking = refuses(ask(path, 'POST', '/stop'), /the server went away before it answered/);
    await until(() => face.asked.length === 1, 'the order to arrive');
    await control.close();
    await asking;
    await until(() => silent.ended && halting.ended, 'the ends of the connections');
  });

  it('is possible for one that could not be opened', async (t) => {
    const control = new ControlSocket(join(temporaryDirectory(t), 'none', 'ctl'), new Pretender());
    await assert.rejects(control.open());
    await control.close();
  });
});

describe('a path is yielded', () => {
  it('until it is released', async (t) => {
    const { face, path } = await start(t);
    const yielded = await askToYield(path);
    assert.deepEqual([face.yields, face.yieldsEnded], [1, 0]);
    yielded.release();
    yielded.release();
    await until(() => face.yieldsEnded > 0, 'the end of it');
    await (await askToYield(path)).release();
    await until(() => face.yieldsEnded === 2, 'the end of the second');
    assert.equal(face.yields, 2);
  });

  it('for good, when whoever asked confirms that it has taken it', async (t) => {
    const { face, path } = await start(t);
    const yielded = await askToYield(path);
    assert.equal(face.yieldsDone, 0);
    await yielded.confirm();
    assert.deepEqual([face.yieldsDone, face.yieldsEnded], [1, 0]);
    yielded.release();
    await until(() => face.yieldsEnded === 1, 'the end of it');
    assert.equal(face.yieldsDone, 1);
  });

  it('until whoever asked is killed', async (t) => {
    const { face, path } = await start(t);
    const client = new URL('../src/control-client.ts', import.meta.url).href;
    const code = `const { askToYield } = await import(${JSON.stringify(client)});
      await askToYield(process.argv[1]);
      console.log('mine');`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    assert.deepEqual([face.yields, face.yieldsEnded], [1, 0]);
    child.kill('SIGKILL');
    await until(() => face.yieldsEnded > 0, 'the end of it');
    assert.equal(face.yieldsEnded, 1);
  });

  it('until our own socket is closed', async (t) => {
    const { face, path, control } = await start(t);
    const yielded = await askToYield(path);
    await control.close();
    await until(() => face.yieldsEnded > 0, 'the end of it');
    yielded.release();
    assert.equal(face.yieldsEnded, 1);
  });

  it('to the end of a whole answer, when our own socket is closed', async (t) => {
    const { path, control } = await start(t);
    const client = await RawConnection.open(path);
    client.post('/yield', '');
    await until(() => client.received.includes('yours'), 'a line');
    await control.close();
    await until(() => client.ended, 'the end of the connection');
    assert.match(client.received, /\r\n0\r\n\r\n$/);
  });

  it('with the head and the first line at once', async (t) => {
    const { face, path } = await start(t);
    const client = await RawConnection.open(path);
    client.post('/yield', '');
    await until(() => /\{"ok":true,"message":"the path is yours"\}\n/.test(client.received), 'a line');
    assert.match(client.received, /^HTTP\/1.1 200 OK\r\n/);
    assert.equal(client.ended, false);
    client.close();
    await until(() => face.yieldsEnded === 1, 'the end of it');
  });

  it('not if the server refuses, with its reason', async (t) => {
    const { face, path } = await start(t);
    face.mayYield = { ok: false, message: 'an upgrade is under way' };
    await refuses(askToYield(path), /: an upgrade is under way$/);
    assert.equal(face.yieldsEnded, 0);
  });

  it('not to somebody who has gone by then', async (t) => {
    const { face, path, get } = await start(t);
    for (let i = 0; i < 50; i++) {
      const client = await RawConnection.open(path);
      client.post('/yield', '');
      client.close();
    }
    await get('/healthz');
    await until(() => face.yields === face.yieldsEnded, 'every yield to end');
  });
});

describe('asking is refused in one line', () => {
  it('where there is no server', async (t) => {
    const path = socketIn(t);
    await refuses(
      ask(path, 'GET', '/status'),
      /^no server is running behind \S+: there is no such socket; say where it is/,
    );
    await refuses(askToYield(path), /^no server is running behind/);
    await deadSocket(path);
    await refuses(ask(path, 'GET', '/status'), /^no server is running behind \S+: nobody listens there$/);
    const tooLong = join(dirname(path), 'n'.repeat(150));
    await refuses(ask(tooLong, 'GET', '/status'), /n{150}/);
  });

  it('where there is another kind of server, also one that happens to say 200', async (t) => {
    const path = socketIn(t);
    let answer = '';
    const server = createServer((socket) =>
      socket
        .on('error', () => {})
        .resume()
        .end(answer),
    ).listen(path);
    t.after(() => server.close());
    await once(server, 'listening');
    const strangers = ['ssh-2.0\r\n', 'hi', '1', '{}', 'null', '{"hello":"world"}\n'].map((body) =>
      body.startsWith('ssh') ? body : `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    for (answer of strangers) await refuses(askToYield(path), /is not a fasticorn's control socket/);
    for (answer of strangers.slice(0, 2))
      await refuses(ask(path, 'GET', '/'), /is not a fasticorn's control/);
    for (answer of ['', 'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"ok":true}']) {
      await refuses(ask(path, 'GET', '/status'), /the server went away before it answered/);
      await refuses(askToYield(path), /the server went away before it answered/);
    }
  });

  it('where the server does not take any more', async (t) => {
    const path = socketIn(t);
    await fullQueue(t, path);
    await refuses(ask(path, 'GET', '/status'), /does not take any more connections \(EAGAIN\)/);
  });

  it('where the server says nothing for ten seconds', async (t) => {
    const path = socketIn(t);
    const sockets = new Set<Socket>();
    const server = createServer((socket) => sockets.add(socket)).listen(path);
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    await once(server, 'listening');
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const asking = askToYield(path);
    await once(server, 'connection');
    t.mock.timers.tick(9_999);
    assert.equal(await Promise.race([asking, 'still waiting']), 'still waiting');
    t.mock.timers.tick(1);
    await refuses(asking, /^\S+: the server does not answer$/);
  });

  it('not if it is the one who asks that gives up', async (t) => {
    const { face, path } = await start(t);
    face.outcome = new Promise(() => {});
    const enough = new AbortController();
    const asking = ask(path, 'POST', '/reload', { signal: enough.signal });
    await until(() => face.asked.length === 1, 'the order to arrive');
    enough.abort();
    await assert.rejects(asking, { name: 'AbortError' });
  });
});
