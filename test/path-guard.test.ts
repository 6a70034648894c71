/**
 * The name of a running server's socket in the hands of others: put back when it is deleted, left alone when
 * something else stands there.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fetchFrom } from './support/http.ts';
import { load } from './support/load.ts';
import { liveServer } from './support/neighbours.ts';
import { RawConnection } from './support/raw.ts';
import { app, type Server, startServer, until } from './support/server.ts';

const start = (t: TestContext) => startServer(t, app('echo.mjs'), ['-w', '2']);
const inode = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.ino;
const errors = (server: Server) => server.log().filter(({ level }) => level >= 50);
/** The second name of the server's socket, by which the first is put back. */
function hidden(server: Server): string | undefined {
  const directory = dirname(server.socket);
  const name = readdirSync(directory).find((one) => /^\.app\.sock\.[0-9a-f]{8}$/.test(one));
  return name && join(directory, name);
}

const hello = async (server: Server) =>
  (await fetchFrom({ socketPath: server.socket }, '/')).body === 'hello';

describe('a socket whose name is deleted', () => {
  it('has it again, for the same inode', async (t) => {
    const server = await start(t);
    const ours = inode(server.socket);
    for (let i = 0; i < 5; i++) {
      unlinkSync(server.socket);
      await until(() => existsSync(server.socket), 'the name to be back');
      assert.equal(inode(server.socket), ours);
      assert(await hello(server));
    }
    assert.equal(await server.stop(), 0);
    assert.equal(existsSync(server.socket), false);
  });

  it('loses nothing under load but connections that found no name', async (t) => {
    const server = await start(t);
    const enough = new AbortController();
    const running = load({ to: { socketPath: server.socket }, keepAlive: false, signal: enough.signal });
    for (let i = 0; i < 20; i++) {
      const before = server.accessLog().length;
      unlinkSync(server.socket);
      await until(() => existsSync(server.socket), 'the name to be back');
      await until(() => server.accessLog().length > before, 'requests to go on');
    }
    enough.abort();
    const { bad, good, sent, refused } = await running;
    assert.deepEqual(bad, []);
    assert.equal(good + refused, sent);
    assert(good > 100);
  });

  it('has both names again when the hidden one went first', async (t) => {
    const server = await start(t);
    const ours = inode(server.socket);
    unlinkSync(hidden(server)!);
    await until(() => hidden(server), 'the hidden name to be back');
    unlinkSync(server.socket);
    await until(() => inode(server.socket) === ours, 'the public name to be back');
    assert.deepEqual(errors(server), []);
  });

  it('is reported as lost, once, when both names are deleted at the same moment', async (t) => {
    const server = await start(t);
    const connection = await RawConnection.open(server.socket);
    server.kill('SIGSTOP');
    unlinkSync(server.socket);
    unlinkSync(hidden(server)!);
    server.kill('SIGCONT');
    await until(() => errors(server).length > 0, 'an error line');
    connection.get('/');
    await until(() => connection.answers === 1, 'an answer on the old connection');
    assert.match(errors(server)[0]!.msg, /cannot be put back/);
    assert.equal(await server.stop(), 0);
    assert.equal(errors(server).length, 1);
  });
});

describe('something foreign in the place of the socket', () => {
  const foreigners: [what: string, put: (t: TestContext, path: string) => unknown][] = [
    ['a file', (_t, path) => writeFileSync(path, 'precious')],
    ['the socket of another server', (t, path) => liveServer(t, path)],
  ];
  for (const [what, put] of foreigners) {
    it(`is left alone, if it is ${what}: the server says so once and goes on`, async (t) => {
      const server = await start(t);
      const ours = inode(server.socket);
      const connection = await RawConnection.open(server.socket);
      connection.get('/');
      await until(() => connection.answers === 1, 'an answer before');
      const beside = join(dirname(server.socket), 'foreign');
      await put(t, beside);
      const foreign = inode(beside);
      renameSync(beside, server.socket);
      await until(() => errors(server).length > 0, 'an error line');
      // The arbiter looks again when anything about its inode changes.
      chmodSync(hidden(server)!, 0o666);
      connection.get('/');
      await until(() => connection.answers === 2, 'an answer on the old connection');
      assert.equal(inode(server.socket), foreign);

      renameSync(server.socket, beside);
      await until(() => inode(server.socket) === ours, 'the name to be back');
      assert(await hello(server));
      assert.equal(errors(server).length, 1);
      assert.match(errors(server)[0]!.msg, /was replaced by somebody; it was left alone/);
      assert.equal(inode(beside), foreign);
    });
  }

  it('is still there when the server has ended', async (t) => {
    const server = await start(t);
    rmSync(server.socket);
    await until(() => existsSync(server.socket), 'the name to be back');
    const beside = join(dirname(server.socket), 'foreign');
    writeFileSync(beside, 'precious');
    renameSync(beside, server.socket);
    assert.equal(await server.stop(), 0);
    assert.equal(readFileSync(server.socket, 'utf8'), 'precious');
  });
});
