/**
 * examples/zero-downtime as its README has it: new images that take over under load, and images that cannot. And what
 * an operator can do inside a container that has no rights.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { fetchFrom } from './support/http.ts';
import { load } from './support/load.ts';
import { need } from './support/need.ts';
import { freePort } from './support/port.ts';
import { until } from './support/server.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const example = join(root, 'examples/zero-downtime');
const rounds = Number(process.env.ROUNDS ?? 2);
const echo = readFileSync(new URL('apps/echo.mjs', import.meta.url), 'utf8');

/** An app that the load can ask, and what it does when it is loaded. */
const appOf = (version: string, boot = '') => `${echo.replace('export default ', '')}
  export default async function versioned(app) {
    ${boot}
    await echo(app);
    app.get('/version', async () => '${version}');
    app.get('/spin', function spin() { for (;;); });
  }`;

const run = promisify(execFile);

describe('in containers', { ...need('docker'), timeout: 600_000 }, () => {
  const project = `fasticorn-takeover-${process.pid}-${randomBytes(3).toString('hex')}`;
  const base = `${project}-base`;
  const scratch = mkdtempSync(join(tmpdir(), 'fasticorn-takeover-'));
  let env: NodeJS.ProcessEnv;
  let port = 0;
  const images = new Set<string>();

  /** Standard output. Rejects if the command fails, with what it said in `stderr` and `stdout`. */
  const docker = async (...args: string[]) =>
    (await run('docker', args, { cwd: example, env })).stdout.trim();
  const compose = (...args: string[]) => docker('compose', ...args);
  const inspect = async (id: string, field: string) =>
    JSON.parse(await docker('inspect', '--format', `{{json .${field}}}`, id));
  const write = (text: string) => writeFileSync(join(scratch, 'app.js'), text);
  /** The image that was built last is to be removed in the end. */
  const remember = async () =>
    images.add(await docker('image', 'inspect', '--format', '{{.Id}}', `${project}-app`));
  const deploy = (more: NodeJS.ProcessEnv = {}) =>
    run(join(example, 'deploy.sh'), [], { env: { ...env, ...more } }).finally(remember);
  const containers = async () => (await compose('ps', '--all', '--quiet', 'app')).split('\n').filter(Boolean);
  const version = async () => (await fetchFrom({ port }, '/version')).body;
  /** The exit code of a command inside of a container, and what it said. */
  const inside = (id: string, ...command: string[]) =>
    run('docker', ['exec', id, ...command]).then(
      ({ stdout, stderr }) => ({ code: 0, said: stdout + stderr }),
      ({ code, stdout, stderr }) => ({ code: code as number, said: `${stdout}${stderr}` }),
    );

  before(async () => {
    chmodSync(scratch, 0o755);
    copyFileSync(join(example, 'Dockerfile'), join(scratch, 'Dockerfile'));
    port = await freePort();
    env = {
      ...process.env,
      ...{ COMPOSE_PROJECT_NAME: project, HTTP_PORT: String(port), APP: scratch, FASTICORN: base },
    };
    await run('docker', ['build', '--quiet', '--tag', base, root]);
  });

  after(async () => {
    await compose('down', '--volumes', '--remove-orphans', '--rmi', 'local', '--timeout', '2');
    // Each build took the name from the image before.
    await docker('rmi', '--force', ...images);
    await docker('rmi', base);
    rmSync(scratch, { recursive: true, force: true });
  });

  describe('a new image', () => {
    it('takes over without losing a request, and the old one is gone', async (t) => {
      write(appOf('0'));
      await deploy();
      assert.equal(await version(), '0');
      for (const keepAlive of [true, false]) {
        const enough = new AbortController();
        const running = load({ to: { port }, keepAlive, signal: enough.signal, seconds: 300 });
        for (let round = 1; round <= rounds; round++) {
          const [old] = await containers();
          const next = `${keepAlive} ${round}`;
          write(appOf(next));
          await deploy();
          assert.equal(await version(), next);
          const [now, ...more] = await containers();
          assert.notEqual(now, old);
          assert.deepEqual(more, []);
          assert.equal(await inspect(now!, 'RestartCount'), 0);
        }
        enough.abort();
        const { sent, good, bad, refused } = await running;
        t.diagnostic(`${sent} requests sent, ${sent - good} lost`);
        assert.deepEqual(bad.slice(0, 10), []);
        assert.equal(refused, 0);
        assert.equal(good, sent);
      }
    });

    it('that cannot boot changes nothing', async () => {
      const [old] = await containers();
      const before = await version();
      write(appOf('broken', "throw new Error('broken on purpose');"));
      await assert.rejects(deploy({ DEPLOY_TIMEOUT: '8' }), ({ code, stderr }) => {
        assert.match(stderr, /broken on purpose/);
        assert.match(stderr, /did not take over/);
        return code === 1;
      });
      assert.deepEqual(await containers(), [old]);
      assert.equal(await version(), before);
      assert.equal((await inside(old!, 'fasticorn', 'status')).code, 0);
    });

    it('that serves before the old one has finished stays, and the next one is deployed all the same', async () => {
      const [old] = await containers();
      const slow = fetchFrom({ port }, '/token/slow?delay=25000');
      await until(
        async () => /1 /.test((await inside(old!, 'fasticorn', 'status')).said),
        'the request to arrive',
      );
      write(appOf('early'));
      await assert.rejects(deploy({ DEPLOY_TIMEOUT: '15' }), ({ code, stderr }) => {
        assert.match(stderr, /The new image serves, but the old one has not ended by itself/);
        return code === 1;
      });
      assert.equal(await version(), 'early');
      assert.equal((await slow).body, 'token slow');
      assert.equal(await docker('wait', old!), '0');
      // As after a deploy that was interrupted, the old one is there, and would start again.
      assert.equal((await containers()).length, 2);
      write(appOf('next'));
      await deploy();
      assert.equal(await version(), 'next');
      assert.equal((await containers()).length, 1);
    });

    it('is healthy only when it serves, and the old one only as long as it does', async () => {
      const [old] = await containers();
      // Boots when the test says so, over the volume that both have.
      const boot = `
        const { existsSync } = await import('node:fs');
        while (!existsSync('/tmp/go')) await sleep(50);`;
      write(appOf('slow', boot));
      await compose('build', '--quiet', 'app');
      await remember();
      await compose('up', '--detach', '--no-deps', '--no-recreate', '--scale', 'app=2', 'app');
      const young = (await containers()).find((id) => id !== old)!;
      const check = (id: string) => inside(id, 'fasticorn', 'status');
      assert.equal((await check(old!)).code, 0);
      const early = await check(young);
      assert.equal(early.code, 1);
      assert.match(early.said, /this server runs in another container/);

      const slow = fetchFrom({ port }, '/token/slow?delay=8000');
      await until(async () => /1 /.test((await check(old!)).said), 'the request to arrive');
      await inside(old!, 'touch', '/tmp/go');
      await until(async () => (await check(young)).code === 0, 'the new one to be healthy', 60);
      if (await inspect(old!, 'State.Running')) assert.notEqual((await check(old!)).code, 0);
      assert.equal((await slow).body, 'token slow');
      assert.equal(await docker('wait', old!), '0');
      assert.equal(await version(), 'slow');
      await docker('rm', old!);
      // Nobody comes back to fight.
      assert.deepEqual(await containers(), [young]);
      assert.equal(await inspect(young, 'RestartCount'), 0);
    });

    it('starts where an old one was killed', async () => {
      const [old] = await containers();
      await docker('rm', '--force', old!);
      await compose('up', '--detach', '--wait');
      assert.equal(await version(), 'slow');
    });
  });

  for (const init of [true, false]) {
    describe(`a container without rights, ${init ? 'with' : 'without'} an init process`, () => {
      let id = '';
      const logs = async () => {
        const { stdout, stderr } = await run('docker', ['logs', id]);
        return stdout + stderr;
      };
      const generation = async () =>
        JSON.parse((await inside(id, 'fasticorn', 'status', '--json')).said.replace(/\}[^}]*$/, '}'))
          .generation.current;
      const serves = () =>
        until(async () => (await inside(id, 'fasticorn', 'status')).code === 0, 'a healthy server', 60);

      before(async () => {
        const app = join(scratch, `app-${init}`);
        mkdirSync(app);
        writeFileSync(join(app, 'app.js'), appOf('1'));
        id = await docker(
          ...[
            'run',
            '--detach',
            ...(init ? ['--init'] : []),
            '--read-only',
            '--tmpfs',
            '/tmp',
            '--cap-drop',
            'ALL',
          ],
          ...['--security-opt', 'no-new-privileges', '--volume', `${app}:/app:ro`],
          ...[base, '--timeout', '2', '--workers', '1', '/app/app.js'],
        );
        await serves();
      });
      after(() => docker('rm', '--force', '--volumes', id));

      it('reloads when it is told to, from inside and by a signal from outside', async () => {
        const { code, said } = await inside(id, 'fasticorn', 'reload');
        assert.deepEqual([code, /generation 2 serves/.test(said)], [0, true], said);
        await docker('kill', '--signal', 'HUP', id);
        await until(async () => (await generation()) === 3, 'generation 3');
      });

      it('refuses to upgrade, and says what to use instead', async () => {
        const { code, said } = await inside(id, 'fasticorn', 'upgrade');
        assert.equal(code, 1);
        assert.match(said, /the container ends with this process; use reload .* --takeover\n$/);
        await docker('kill', '--signal', 'USR2', id);
        await until(async () => /SIGUSR2: cannot upgrade/.test(await logs()), 'the refusal in the log');
        await serves();
      });

      it('says where a stuck worker is blocked', async () => {
        const ask = "http.get({ socketPath: '/tmp/app.sock', path: '/spin' }).on('error', () => {})";
        await docker('exec', '--detach', id, 'node', '-e', ask);
        await until(async () => /is blocked at spin \(/.test(await logs()), 'the autopsy', 60);
        const line = (await logs()).split('\n').find((one) => one.includes('is blocked at spin'))!;
        assert.match(line, /is blocked at spin \(file:\/\/\/app\/app\.js:\d+:\d+\); in flight: GET \/spin /);
        await serves();
      });
    });
  }
});
