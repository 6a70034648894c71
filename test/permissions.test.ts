/**
 * What a user without the right to a path is told, at once and in one line.
 */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, existsSync, lstatSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn } from './support/command.ts';
import { deadSocket, liveServer } from './support/neighbours.ts';
import { hindrance, NOBODY } from './support/other-user.ts';
import { app, temporaryDirectory } from './support/server.ts';

describe('as another user a path is refused if it is', () => {
  const cases: { title: string; prepare(t: TestContext, path: string): unknown; reason: RegExp }[] = [
    {
      title: 'a socket that this user may not connect to',
      async prepare(t, path) {
        chmodSync(dirname(path), 0o777);
        await liveServer(t, path);
        chmodSync(path, 0o600);
      },
      reason: /no permission to ask who is listening there \(EACCES\)/,
    },
    {
      title: 'in a directory that this user may not write to',
      prepare: () => {},
      reason: /no permission to create files in/,
    },
    {
      title: 'a dead socket that this user may not remove, being in a directory like /tmp',
      async prepare(_t, path) {
        chmodSync(dirname(path), 0o1777);
        await deadSocket(path);
        chmodSync(path, 0o666);
      },
      reason: /a dead socket is there, and this user may not remove it \(EPERM\)/,
    },
  ];
  for (const { title, prepare, reason } of cases) {
    it(title, async (t) => {
      const obstacle = await hindrance(t);
      if (obstacle) return t.skip(obstacle);
      const path = join(temporaryDirectory(t), 'app.sock');
      await prepare(t, path);
      const before = readdirSync(dirname(path)).sort();
      const print = existsSync(path) && lstatSync(path).ino;
      const args = ['--bind', `unix:${path}`, '-w', '1', app('echo.mjs')];
      const { code, stderr } = await fasticorn(t, args, { uid: NOBODY, cwd: '/' });
      assert.equal(code, 1);
      assert.match(stderr, reason);
      assert.doesNotMatch(stderr, /\n {4}at /);
      assert.deepEqual(readdirSync(dirname(path)).sort(), before);
      assert.equal(existsSync(path) && lstatSync(path).ino, print);
    });
  }

  it('given a group that this user is not in', async (t) => {
    const obstacle = await hindrance(t);
    if (obstacle) return t.skip(obstacle);
    const path = join(temporaryDirectory(t), 'app.sock');
    chownSync(dirname(path), NOBODY, NOBODY);
    const args = ['--bind', `unix:${path}`, '--socket-group', '0', app('echo.mjs')];
    const { code, stderr } = await fasticorn(t, args, { uid: NOBODY, cwd: '/' });
    assert.equal(code, 1);
    assert.equal(
      stderr,
      'fasticorn: --socket-group 0: this user is not a member of that group and may not give it the socket\n',
    );
    assert.deepEqual(readdirSync(dirname(path)), []);
  });
});
