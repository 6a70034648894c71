/**
 * Where workers keep compiled code for those to come, and that nothing depends on it.
 */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { compileCache } from '../src/compile-cache.ts';
import { workerEnv } from '../src/worker-env.ts';
import { FILE_DECIDES, Site } from './support/site.ts';

const skip = !('getCompileCacheDir' in process.getBuiltinModule('node:module')) && 'needs Node 22';

/** An app that tells where its process keeps compiled code, as Node has it and as its children would. */
const APP = `
  import * as modules from 'node:module';
  import one from 'one';
  export default async function (app) {
    app.get('/version', async () => [one, modules.getCompileCacheDir?.(), process.env.NODE_COMPILE_CACHE].join());
  }`;

/** A site whose app has a package. */
function prepare(...[t]: ConstructorParameters<typeof Site>): Site {
  const site = new Site(t);
  site.write('app.mjs', APP);
  site.write('node_modules/one/index.js', 'module.exports = 1;');
  return site;
}

/** Without what the tests themselves may run with. */
const nothing = undefined as unknown as string;
const env = {
  ...FILE_DECIDES,
  ...{ NODE_COMPILE_CACHE: nothing, NODE_DISABLE_COMPILE_CACHE: nothing, NODE_V8_COVERAGE: nothing },
};

describe('the place for compiled code', () => {
  const uid = process.getuid?.();
  const us = { uid, umask: 0o022 };

  it('is in the nearest node_modules above the app', (t) => {
    const site = new Site(t);
    mkdirSync(join(site.directory, 'a/b'), { recursive: true });
    mkdirSync(join(site.directory, 'node_modules'));
    const place = (file: string) => compileCache(join(site.directory, file), us);
    assert.equal(place('a/b/app.js'), join(site.directory, 'node_modules/.fasticorn'));
    mkdirSync(join(site.directory, 'a/node_modules'));
    assert.equal(place('a/b/app.js'), join(site.directory, 'a/node_modules/.fasticorn'));
    assert.equal(place('app.js'), join(site.directory, 'node_modules/.fasticorn'));
  });

  it('is nowhere if that belongs to another user than the workers are', (t) => {
    const site = new Site(t);
    mkdirSync(join(site.directory, 'node_modules'));
    const file = join(site.directory, 'app.js');
    assert.equal(compileCache(file, { ...us, uid: (uid ?? 0) + 1 }), undefined);
    assert.notEqual(compileCache(file, us), undefined);
  });

  it('is nowhere if something else is in its place: a file, a link', (t) => {
    const site = new Site(t);
    site.write('node_modules/.fasticorn', 'a file');
    assert.equal(compileCache(join(site.directory, 'app.js'), us), undefined);
    site.write('a/node_modules/one/index.js', '');
    symlinkSync(site.directory, join(site.directory, 'a/node_modules/.fasticorn'));
    assert.equal(compileCache(join(site.directory, 'a/app.js'), us), undefined);
  });

  it('is nowhere if somebody else made it', { skip: uid !== 0 && 'needs root' }, (t) => {
    const site = new Site(t);
    const place = join(site.directory, 'node_modules/.fasticorn');
    mkdirSync(place, { recursive: true });
    assert.equal(compileCache(join(site.directory, 'app.js'), us), place);
    chownSync(place, 65_534, 65_534);
    assert.equal(compileCache(join(site.directory, 'app.js'), us), undefined);
  });

  it('is nowhere if others could write to it', (t) => {
    const site = new Site(t);
    const place = join(site.directory, 'node_modules/.fasticorn');
    mkdirSync(join(site.directory, 'node_modules'));
    const file = join(site.directory, 'app.js');
    for (const umask of [0o000, 0o002, 0o020]) assert.equal(compileCache(file, { uid, umask }), undefined);
    mkdirSync(place);
    chmodSync(place, 0o775);
    assert.equal(compileCache(file, us), undefined);
    chmodSync(place, 0o755);
    assert.equal(compileCache(file, us), place);
  });

  it('is nowhere if that cannot be looked at', (t) => {
    const site = new Site(t);
    symlinkSync('node_modules', join(site.directory, 'node_modules'));
    assert.equal(compileCache(join(site.directory, 'app.js'), us), undefined);
  });

  it('is nowhere if there is no node_modules', () => {
    assert.equal(compileCache('/nowhere/at/all/app.js', us), undefined);
  });

  it('is for others to decide: the environment, or an env file', () => {
    const own = { files: [], watch: false, compileCache: '/ours' };
    const place = (sources: Partial<Parameters<typeof workerEnv>[0]>) =>
      workerEnv({ ...own, env: {}, ...sources }).NODE_COMPILE_CACHE;
    assert.equal(place({}), '/ours');
    assert.equal(place({ env: { NODE_COMPILE_CACHE: '/theirs' } }), '/theirs');
    assert.equal(place({ files: [{ NODE_COMPILE_CACHE: '/theirs' }] }), '/theirs');
    assert.equal(place({ compileCache: undefined }), undefined);
  });

  it('is not used while coverage is collected, which would be less exact', () => {
    const sources = { env: { NODE_V8_COVERAGE: '/coverage' }, files: [], watch: false };
    assert.equal(workerEnv({ ...sources, compileCache: '/ours' }).NODE_COMPILE_CACHE, undefined);
  });
});

describe('a worker', () => {
  it('leaves compiled code to the next ones, which take it', { skip }, async (t) => {
    const site = prepare(t);
    const place = join(site.directory, 'node_modules/.fasticorn');
    /** What is kept, and since when. */
    const serveOnce = async () => {
      const server = await site.start([], { env });
      const [one, used, said] = (await site.version()).split(',');
      assert.deepEqual([one, said], ['1', place]);
      assert.ok(used!.startsWith(place), used);
      assert.equal(await server.stop(), 0);
      return readdirSync(used!).map((file) => [file, statSync(join(used!, file)).mtimeMs]);
    };
    const kept = await serveOnce();
    assert.notEqual(kept.length, 0);
    // Node writes anew what it could not use.
    assert.deepEqual(await serveOnce(), kept);
  });

  it('runs what the app is now, not what it was when it was compiled', async (t) => {
    const site = prepare(t);
    const first = await site.start([], { env });
    assert.equal(await first.stop(), 0);
    site.write('node_modules/one/index.js', 'module.exports = 2;');
    const second = await site.start([], { env });
    assert.equal((await site.version()).split(',')[0], '2');
    site.write('node_modules/one/index.js', 'module.exports = 3;');
    await site.ask('reload');
    assert.equal((await site.version()).split(',')[0], '3');
    assert.equal(await second.stop(), 0);
  });

  it('serves as ever, and says nothing, where it cannot leave any', async (t) => {
    const site = prepare(t);
    site.write('place', 'a file');
    const place = join(site.directory, 'place');
    const server = await site.start([], { env: { ...env, NODE_COMPILE_CACHE: place } });
    assert.deepEqual((await site.version()).split(','), ['1', '', place]);
    assert.equal(await server.stop(), 0);
    assert.doesNotMatch(server.stderr, /cache/i);
  });

  it('leaves none with a --umask that would let others write to it', async (t) => {
    const site = prepare(t);
    const server = await site.start(['--umask', '0'], { env });
    assert.deepEqual((await site.version()).split(','), ['1', '', '']);
    assert.equal(await server.stop(), 0);
    assert.ok(!existsSync(join(site.directory, 'node_modules/.fasticorn')));
  });

  it('leaves none if the operator does not want that', async (t) => {
    const site = prepare(t);
    const server = await site.start([], { env: { ...env, NODE_DISABLE_COMPILE_CACHE: '1' } });
    assert.equal((await site.version()).split(',')[1], '');
    assert.equal(await server.stop(), 0);
    assert.ok(!existsSync(join(site.directory, 'node_modules/.fasticorn')));
  });
});
