/**
 * The pid file of a running server: there once it serves, never another's, and gone with it. How it changes hands is
 * in upgrade.test.ts.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn } from './support/command.ts';
import { fetchFrom } from './support/http.ts';
import { app, startServer, temporaryDirectory, until } from './support/server.ts';

async function serverWith(t: TestContext, pidFile: string, args: string[] = []) {
  const server = await startServer(t, app('echo.mjs'), ['-w', '1', '--pid', pidFile, ...args]);
  await until(() => existsSync(pidFile) && /^\d+\n$/.test(readFileSync(pidFile, 'utf8')), 'the pid file');
  return server;
}

const fileIn = (t: TestContext) => join(temporaryDirectory(t), 'app.pid');

describe('The pid file of a server', () => {
  it('has its pid, and goes with it', async (t) => {
    const pidFile = fileIn(t);
    const server = await serverWith(t, pidFile);
    assert.equal(readFileSync(pidFile, 'utf8'), `${server.pid}\n`);
    assert.equal(await server.stop(), 0);
    assert.equal(existsSync(pidFile), false);
  });

  it('is not there before it serves', async (t) => {
    const pidFile = fileIn(t);
    const args = ['-b', `unix:${pidFile}.sock`, '-w', '1', '--pid', pidFile, app('start/fails.mjs')];
    const broken = await fasticorn(t, args, { env: { HOW: 'plugin' } });
    assert.notEqual(broken.code, 0);
    assert.equal(existsSync(pidFile), false);
  });

  it('is refused to a second server, which leaves the first untouched', async (t) => {
    const pidFile = fileIn(t);
    const server = await serverWith(t, pidFile);
    const { ino } = lstatSync(pidFile);
    const second = await fasticorn(t, ['-b', `unix:${pidFile}.sock`, '--pid', pidFile, app('echo.mjs')]);
    assert.equal(
      second.stderr,
      `fasticorn: --pid ${pidFile}: a fasticorn is running with pid ${server.pid}; stop it first, or choose another file\n`,
    );
    assert.notEqual(second.code, 0);
    assert.equal(lstatSync(pidFile).ino, ino);
    assert.equal((await fetchFrom({ socketPath: server.socket }, '/')).body, 'hello');
  });

  it('goes to one of two servers that start together; the other ends and says why', async (t) => {
    const pidFile = fileIn(t);
    const GO = `${pidFile}.go`;
    const start = () =>
      startServer(t, app('start/slow-boot.mjs'), ['-w', '1', '--pid', pidFile], { env: { GO }, early: true });
    const servers = await Promise.all([start(), start()]);
    // With a worker each of them has seen that the file is not there.
    for (const server of servers) await until(() => server.workers().length > 0, 'a worker');
    writeFileSync(GO, '');
    await until(() => servers.some(({ process }) => process.exitCode !== null), 'the end of one of them');
    await until(() => existsSync(pidFile), 'the pid file');
    const [loser, winner] = servers[0]!.process.exitCode !== null ? servers : servers.toReversed();
    const { code } = await loser!.exited;
    assert.notEqual(code, 0);
    assert.match(
      JSON.stringify(loser!.log()),
      new RegExp(`--pid ${pidFile}: a fasticorn is running with pid ${winner!.pid}`),
    );
    assert.equal(readFileSync(pidFile, 'utf8'), `${winner!.pid}\n`);
    assert.equal((await fetchFrom({ socketPath: winner!.socket }, '/')).body, 'hello');
  });

  it('is taken from a server that was killed', async (t) => {
    const pidFile = fileIn(t);
    const first = await serverWith(t, pidFile);
    first.kill('SIGKILL');
    await first.exited;
    assert.equal(readFileSync(pidFile, 'utf8'), `${first.pid}\n`);
    const next = await startServer(t, app('echo.mjs'), ['-w', '1', '--pid', pidFile]);
    await until(() => readFileSync(pidFile, 'utf8') === `${next.pid}\n`, 'its pid');
  });

  it('is taken when it names another program, or nobody', async (t) => {
    for (const pid of [process.pid, spawnSync('true').pid]) {
      const pidFile = fileIn(t);
      writeFileSync(pidFile, `${pid}\n`);
      const server = await startServer(t, app('echo.mjs'), ['-w', '1', '--pid', pidFile]);
      await until(() => readFileSync(pidFile, 'utf8') === `${server.pid}\n`, 'its pid');
      assert.equal(await server.stop(), 0);
    }
  });

  it('stays if somebody else has written it meanwhile', async (t) => {
    const pidFile = fileIn(t);
    const server = await serverWith(t, pidFile);
    writeFileSync(pidFile, '1\n');
    assert.equal(await server.stop(), 0);
    assert.equal(readFileSync(pidFile, 'utf8'), '1\n');
  });

  it('stays as it is during a reload', async (t) => {
    const pidFile = fileIn(t);
    const server = await serverWith(t, pidFile);
    const { ino } = lstatSync(pidFile);
    const control = `${server.socket}.ctl`;
    assert.equal((await fasticorn(t, ['reload', '--control-socket', control], { cwd: '/' })).code, 0);
    assert.equal(lstatSync(pidFile).ino, ino);
  });

  it('is there again after a reload, should somebody have deleted it', async (t) => {
    const pidFile = fileIn(t);
    const server = await serverWith(t, pidFile);
    rmSync(pidFile);
    const control = `${server.socket}.ctl`;
    assert.equal((await fasticorn(t, ['reload', '--control-socket', control], { cwd: '/' })).code, 0);
    assert.equal(readFileSync(pidFile, 'utf8'), `${server.pid}\n`);
    assert.equal(await server.stop(), 0);
    assert.equal(existsSync(pidFile), false);
  });

  it('leads the commands to the server', async (t) => {
    const pidFile = fileIn(t);
    const server = await serverWith(t, pidFile);
    const { code, stdout } = await fasticorn(t, ['stop', '--pid', pidFile], { cwd: '/' });
    assert.deepEqual([code, stdout], [0, `SIGTERM was sent to pid ${server.pid}\n`]);
    assert.equal((await server.exited).code, 0);
    const again = await fasticorn(t, ['stop', '--pid', pidFile], { cwd: '/' });
    assert.match(again.stderr, /^fasticorn: --pid \S+: there is no such file; is the server running\?\n$/);
  });
});
