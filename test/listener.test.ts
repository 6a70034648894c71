/**
 * How an address becomes ours: bound unseen, published whole, and never at the cost of somebody else's.
 */
import assert from 'node:assert/strict';
import { existsSync, lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type Listener, openListeners } from '../src/arbiter/listener.ts';
import { probe } from '../src/arbiter/socket-probe.ts';
import { load } from '../src/config/load.ts';
import { UserError } from '../src/errors.ts';
import { need } from './support/need.ts';
import { datagramSocket, deadSocket, fingerprint, fullQueue, liveServer } from './support/neighbours.ts';
import { temporaryDirectory } from './support/server.ts';

const silent = { onRestored() {}, onForeign() {}, onLost() {} };

/** Binds a path; the names are given back when the test ends. */
async function open(
  t: TestContext,
  path: string,
  { mode = 0o666, group }: { mode?: number; group?: string } = {},
): Promise<Listener> {
  const settings = {
    socketMode: mode,
    socketGroup: group,
    takeover: false,
    reusePort: false,
    user: undefined,
    group: undefined,
  };
  const [listener] = await openListeners({ bind: [{ kind: 'unix', path }], ...settings }, silent);
  assert(listener);
  t.after(() => {
    listener.withdraw();
    listener.close();
  });
  return listener;
}

/** What can be seen at a path and beside it. */
function snapshot(path: string) {
  const beside = lstatSync(dirname(path), { throwIfNoEntry: false })?.isDirectory();
  return {
    there: existsSync(path) && fingerprint(path),
    beside: beside && readdirSync(dirname(path)).sort(),
  };
}

/** Refused with one line that matches, and the directory as it was. */
async function refuses(t: TestContext, path: string, reason: RegExp): Promise<void> {
  const before = snapshot(path);
  await assert.rejects(open(t, path), (error) => {
    assert(error instanceof UserError);
    assert.match(error.message, reason);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
  assert.deepEqual(snapshot(path), before, 'what was there is untouched');
}

describe('a socket that is bound', () => {
  it('has only a hidden name until it is published', async (t) => {
    const directory = temporaryDirectory(t);
    const listener = await open(t, join(directory, 'app.sock'));
    assert.equal(readdirSync(directory).length, 1);
    assert.match(readdirSync(directory)[0]!, /^\.app\.sock\.[0-9a-f]{8}$/);
    await listener.publish();
    assert.equal(lstatSync(join(directory, 'app.sock')).ino, lstatSync(listener.inherited.spare!).ino);
  });

  it('may be used by everybody, whatever the umask', async (t) => {
    const umask = process.umask(0o077);
    t.after(() => process.umask(umask));
    const listener = await open(t, join(temporaryDirectory(t), 'app.sock'));
    assert.equal(lstatSync(listener.inherited.spare!).mode & 0o777, 0o666);
  });

  const root = process.getuid?.() === 0;
  it('has its mode and its group before anybody can see it', { skip: !root && 'needs root' }, async (t) => {
    const path = join(temporaryDirectory(t), 'app.sock');
    const listener = await open(t, path, { mode: 0o640, group: '12345' });
    assert.equal(existsSync(path), false);
    const { mode, gid } = lstatSync(listener.inherited.spare!);
    assert.deepEqual([mode & 0o777, gid], [0o640, 12345]);
  });

  it('is not made for a group that does not exist', async (t) => {
    const path = join(temporaryDirectory(t), 'app.sock');
    for (const group of ['no-such-group', '99999999999']) {
      await assert.rejects(open(t, path, { group }), /^UserError: --socket-group .*: there is no such group/);
    }
    assert.deepEqual(readdirSync(dirname(path)), []);
  });

  it('replaces a dead socket', async (t) => {
    const path = join(temporaryDirectory(t), 'app.sock');
    await deadSocket(path);
    assert.equal(await probe(path), 'dead');
    const listener = await open(t, path);
    await listener.publish();
    assert.equal(lstatSync(path).ino, lstatSync(listener.inherited.spare!).ino);
    assert.equal(readdirSync(dirname(path)).length, 2);
  });

  it('gives up both names, but not a path that has become somebody else’s', async (t) => {
    const path = join(temporaryDirectory(t), 'app.sock');
    const first = await open(t, path);
    await first.publish();
    first.withdraw();
    assert.deepEqual(readdirSync(dirname(path)), []);
    const second = await open(t, path);
    await second.publish();
    first.withdraw();
    assert.equal(readdirSync(dirname(path)).length, 2);
  });
});

describe('a port', () => {
  it('is not published any more once it was withdrawn', async (t) => {
    const { config } = load(['--bind', '127.0.0.1:0'], {}, { cpus: 1 });
    const [listener] = await openListeners(config, silent);
    t.after(() => listener!.close());
    assert.equal(await listener!.publish(), true);
    listener!.withdraw();
    assert.equal(await listener!.publish(), false);
  });
});

describe('a path is refused, and what is there stays untouched, if it is', () => {
  it('the socket of a live server', async (t) => {
    const path = join(temporaryDirectory(t), 'app.sock');
    await liveServer(t, path);
    await refuses(t, path, /another server is listening there/);
  });

  it('the socket of a server whose queue is full', async (t) => {
    const path = join(temporaryDirectory(t), 'app.sock');
    await fullQueue(t, path);
    await refuses(t, path, /full queue \(EAGAIN\)/);
  });

  it('a socket of another type', need('perl'), async (t) => {
    const path = join(temporaryDirectory(t), 'app.sock');
    await datagramSocket(t, path);
    await refuses(t, path, /a socket of another type \(EPROTOTYPE\)/);
  });

  it('a regular file', async (t) => {
    const path = join(temporaryDirectory(t), 'app.sock');
    writeFileSync(path, 'precious');
    await refuses(t, path, /a file that is not a socket/);
  });

  it('a directory', async (t) => {
    const path = join(temporaryDirectory(t), 'app.sock');
    mkdirSync(path);
    await refuses(t, path, /a file that is not a socket/);
  });

  it('a symbolic link, even to a dead socket', async (t) => {
    const path = join(temporaryDirectory(t), 'app.sock');
    await deadSocket(`${path}.real`);
    symlinkSync(`${path}.real`, path);
    await refuses(t, path, /a file that is not a socket/);
    assert(existsSync(`${path}.real`));
  });

  it('in a directory that does not exist', async (t) => {
    await refuses(t, join(temporaryDirectory(t), 'run', 'app.sock'), /the directory .*\/run does not exist/);
  });

  it('below a file', async (t) => {
    const directory = temporaryDirectory(t);
    writeFileSync(join(directory, 'run'), '');
    await refuses(t, join(directory, 'run', 'app.sock'), /\/run is not a directory/);
  });
});

describe('a path near the limit of the system', () => {
  const most = process.platform === 'linux' ? 107 : 103;
  /** A path of so many bytes, with a short name in a long directory, or a long name in a short directory. */
  function pathOf(t: TestContext, bytes: number, nameBytes: number): string {
    const base = temporaryDirectory(t);
    const directory = join(base, 'd'.repeat(bytes - nameBytes - 2 - Buffer.byteLength(base)));
    mkdirSync(directory);
    const path = join(directory, 'n'.repeat(nameBytes));
    assert.equal(Buffer.byteLength(path), bytes);
    return path;
  }

  for (let bytes = 90; bytes <= 108; bytes++) {
    for (const nameBytes of [1, 10, 50]) {
      const fits = bytes <= most && bytes - nameBytes + 11 <= most;
      it(`${bytes} bytes, ${nameBytes} of them the name: ${fits ? 'works' : 'refused'}`, async (t) => {
        const path = pathOf(t, bytes, nameBytes);
        if (!fits) {
          await refuses(t, path, bytes > most ? /has 108 bytes, and the system takes/ : /leaves no room/);
          return;
        }
        const listener = await open(t, path);
        await listener.publish();
        // Bound but not listening: connect(2) finds it, and nobody there.
        assert.equal(await probe(path), 'dead');
        assert.equal(dirname(listener.inherited.spare!), dirname(path));
        assert.equal(readdirSync(dirname(path)).length, 2);
      });
    }
  }

  it('counts bytes, not characters', async (t) => {
    const base = temporaryDirectory(t);
    await refuses(t, join(base, 'ü'.repeat(50)), /bytes, and the system takes/);
    const path = join(base, 'ü'.repeat(20));
    const listener = await open(t, path);
    await listener.publish();
    assert.deepEqual(readdirSync(base).includes(basename(path)), true);
  });
});
