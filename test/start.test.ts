/**
 * How the server starts: what it says, when the socket appears, which apps it takes, and how many workers it has.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fasticorn } from './support/command.ts';
import { settled } from './support/control.ts';
import { fetchFrom, startOnPort } from './support/http.ts';
import { accepts } from './support/port.ts';
import { app, type Server, startServer, temporaryDirectory, until } from './support/server.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const get = async (server: Server, path = '/') => (await fetchFrom({ socketPath: server.socket }, path)).body;

describe('the start', () => {
  it('is announced with version, app, address, workers and pid', async (t) => {
    const file = app('start/exports.mjs');
    const server = await startServer(t, file, ['-w', '2']);
    const [first] = server.log();
    assert.equal(
      first?.msg,
      `fasticorn ${version}: ${file} on unix:${server.socket}, 2 workers, pid ${server.pid}`,
    );
  });

  it('shows the socket only when a worker can answer', async (t) => {
    const directory = temporaryDirectory(t);
    const [go, marks] = [join(directory, 'go'), join(directory, 'marks')];
    const server = await startServer(t, app('start/slow-boot.mjs'), ['-w', '1'], {
      early: true,
      env: { GO: go, MARKS: marks },
    });
    await until(() => existsSync(marks), 'the app to be loaded');
    assert.equal(existsSync(server.socket), false);
    writeFileSync(go, '');
    await until(() => existsSync(server.socket), 'the socket');
    assert.equal(await get(server), 'hello');
  });

  it('takes a port that is free, and refuses one that is taken', async (t) => {
    const { server, target } = await startOnPort(t, app('echo.mjs'), ['-w', '1']);
    assert.equal((await fetchFrom(target, '/')).body, 'hello');
    const { code, stderr } = await fasticorn(t, ['-b', `127.0.0.1:${target.port}`, app('echo.mjs')]);
    assert.equal(code, 1);
    assert.match(stderr, /^fasticorn: --bind 127\.0\.0\.1:\d+: the port is taken; .*\n$/);
    assert.equal(await server.stop(), 0);
  });

  it('says which port the system chose for port 0', async (t) => {
    const server = await startServer(t, app('echo.mjs'), ['-b', '127.0.0.1:0', '-w', '1'], { early: true });
    const where = () => Number(/ on 127\.0\.0\.1:(\d+),/.exec(server.log()[0]?.msg ?? '')?.[1]);
    await until(where, 'the port to be said');
    const port = where();
    await until(() => accepts(port), 'it to be served');
    assert.equal((await fetchFrom({ port }, '/')).body, 'hello');
  });

  it('refuses a host that cannot be resolved', async (t) => {
    const { code, stderr } = await fasticorn(t, ['-b', 'no-such-host.invalid:80', app('echo.mjs')]);
    assert.equal(code, 1);
    assert.match(stderr, /^fasticorn: --bind no-such-host\.invalid:80: cannot resolve .*\n$/);
  });
});

describe('the number of workers', () => {
  it('is that of -w, whatever the environment says', async (t) => {
    const server = await startServer(t, app('echo.mjs'), ['-w', '3'], { env: { WEB_CONCURRENCY: '1' } });
    await settled(server, 3);
    assert.equal(server.workers().length, 3);
  });

  it('is that of WEB_CONCURRENCY without -w', async (t) => {
    const server = await startServer(t, app('echo.mjs'), [], { env: { WEB_CONCURRENCY: '1' } });
    assert.match(server.log()[0]!.msg, /, 1 worker, /);
    assert.equal(server.workers().length, 1);
  });
});

describe('the app may be', () => {
  const shapes: [what: string, spec: string, answer: string][] = [
    ['the default export of an ES module', 'start/exports.mjs', 'default'],
    ['another export', 'start/exports.mjs:admin', 'admin'],
    ['module.exports', 'start/commonjs.cjs', 'commonjs'],
  ];
  for (const [what, spec, answer] of shapes) {
    it(what, async (t) => {
      const server = await startServer(t, app(spec), ['-w', '1']);
      assert.equal(await get(server), answer);
    });
  }

  it('named by a path relative to the working directory, without its extension', async (t) => {
    const cwd = temporaryDirectory(t);
    writeFileSync(
      join(cwd, 'app.js'),
      "module.exports = async (app) => { app.get('/', async () => 'relative'); };",
    );
    const server = await startServer(t, './app', ['-w', '1'], { cwd });
    assert.equal(await get(server), 'relative');
  });

  for (const [name, major] of [
    ['fastify4', '4'],
    ['fastify', '5'],
  ] as const) {
    it(`made for a Fastify of its own, version ${major}`, async (t) => {
      const directory = temporaryDirectory(t);
      mkdirSync(join(directory, 'node_modules'));
      const its = fileURLToPath(new URL(`../node_modules/${name}`, import.meta.url));
      symlinkSync(its, join(directory, 'node_modules/fastify'));
      const file = join(directory, 'app.mjs');
      writeFileSync(
        file,
        `export default async (app) => {
          app.log.warn('said by the app');
          app.get('/', async () => app.version);
        };`,
      );
      // Reached by a link from a place that has none: the app is where its file is.
      const link = join(temporaryDirectory(t), 'link.mjs');
      symlinkSync(file, link);
      const server = await startServer(t, link, ['-w', '1']);
      assert.equal((await get(server)).split('.')[0], major);
      assert(server.log().some(({ msg, worker }) => msg === 'said by the app' && worker === 1));
    });
  }
});

describe('the app’s options', () => {
  for (const file of ['start/exports.mjs', 'start/commonjs.cjs']) {
    it(`are Fastify’s: ${file}`, async (t) => {
      const server = await startServer(t, app(file), ['-w', '1']);
      const to = { socketPath: server.socket };
      const post = (body: string) =>
        fetchFrom(to, '/', { method: 'POST', headers: { 'content-type': 'text/plain' }, body });
      assert.equal((await post('short')).status, 200);
      assert.equal((await post('longer than ten')).status, 413);
    });
  }

  it('may set a logger of its own', async (t) => {
    const file = join(temporaryDirectory(t), 'app.mjs');
    writeFileSync(
      file,
      `export const options = { logger: { name: 'its own' } };
      export default async (app) => app.log.info('booting');`,
    );
    const server = await startServer(t, file, ['-w', '1', '--access-logfile', 'off']);
    await until(() => /"name":"its own","msg":"booting"/.test(server.stdout), 'its line on standard output');
  });

  it('have the limit of --boot-timeout for a slow plugin, not the ten seconds of Fastify', async (t) => {
    const server = await startServer(t, app('start/exports.mjs'), ['-w', '1', '--boot-timeout', '600']);
    const [, limit] = /^plugin timeout (\d+)$/.exec(await get(server, '/a')) ?? [];
    assert.ok(Number(limit) > 10_000 && Number(limit) < 600_000, limit);
  });
});

describe('each worker', () => {
  it('runs the onReady and onListen hooks once', async (t) => {
    const marks = join(temporaryDirectory(t), 'marks');
    const server = await startServer(t, app('start/slow-boot.mjs'), ['-w', '2'], { env: { MARKS: marks } });
    await settled(server, 2);
    await server.stop();
    const lines = readFileSync(marks, 'utf8').trim().split('\n').sort();
    assert.deepEqual(lines, ['booting', 'booting', 'onListen', 'onListen', 'onReady', 'onReady']);
  });
});
