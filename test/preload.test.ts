/**
 * Modules that workers load before the app: which they are, that the arbiter does not load them, and what happens when
 * they are not there.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fasticorn } from './support/command.ts';
import { until } from './support/server.ts';
import { FILE_DECIDES, Site } from './support/site.ts';

/** Adds its mark and its process to a file. */
const marking = (mark: string) => `
  require('node:fs').appendFileSync('marks', '${mark} ' + process.pid + '\\n');
  globalThis.marks = [...(globalThis.marks ?? []), '${mark}'];`;
const markingModule = (mark: string) => `
  import { createRequire } from 'node:module';
  const require = createRequire(import.meta.url);
  ${marking(mark)}`;

const APP = `
  const before = globalThis.marks ?? [];
  export default async function (app) {
    app.get('/version', async () => before.join());
  }`;

/** A site with modules of each kind, and packages of which one is for import only. */
function prepare(t: TestContext): Site {
  const site = new Site(t);
  site.write('app.mjs', APP);
  site.write('a file.mjs', markingModule('a'));
  site.write('b.cjs', marking('b'));
  site.write('node_modules/only-import/package.json', '{"exports":{"./register":{"import":"./c.mjs"}}}');
  site.write('node_modules/only-import/c.mjs', markingModule('c'));
  site.write('node_modules/plain/config.js', marking('d'));
  site.write('bad.mjs', 'throw new Error("a bad preload");');
  return site;
}

const marks = (site: Site) =>
  readFileSync(join(site.directory, 'marks'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' ') as [string, string]);

describe('--import and --require', () => {
  it('load files and packages in each worker before the app, and never in the arbiter', async (t) => {
    const site = prepare(t);
    const server = await site.start([
      ...['--import', './a file.mjs', '--import=only-import/register'],
      ...['--require', './b.cjs', '--require', 'plain/config'],
    ]);
    // What is required comes first, as Node has it.
    assert.equal(await site.version(), 'b,d,a,c');
    assert.deepEqual(
      [...new Set(marks(site).map(([, pid]) => Number(pid)))].sort(),
      ((await site.ready()) as number[]).sort(),
    );
    assert.equal(await server.stop(), 0);
  });

  it('start from --chdir', async (t) => {
    const site = prepare(t);
    const outcome = await fasticorn(
      t,
      ['--check-config', '--chdir', site.directory, '--import', './a file.mjs', './app.mjs'],
      { cwd: '/' },
    );
    assert.deepEqual([outcome.code, outcome.stderr], [0, '']);
    assert.deepEqual(
      marks(site).map(([mark]) => mark),
      ['a'],
    );
  });

  it('are heard beside NODE_OPTIONS', async (t) => {
    const site = prepare(t);
    await site.start(['--import', './a file.mjs'], { env: { NODE_OPTIONS: '--require ./b.cjs' } });
    assert.equal(await site.version(), 'b,a');
  });

  it('are applied by a reload, and bad ones leave all as it was', async (t) => {
    const site = prepare(t);
    const configure = (more: object) =>
      site.write('fasticorn.config.json', JSON.stringify({ workers: 1, ...more }));
    configure({ import: './a file.mjs' });
    const server = await site.start([], { env: FILE_DECIDES });
    assert.equal(await site.version(), 'a');
    configure({ import: ['./a file.mjs', 'only-import/register'], require: 'plain/config' });
    assert.equal((await site.ask('reload')).code, 0);
    assert.equal(await site.version(), 'd,a,c');
    configure({ require: './none.cjs' });
    const missing = await site.ask('reload');
    assert.notEqual(missing.code, 0);
    assert.match(
      missing.stderr,
      /fasticorn\.config\.json:1: require: ".\/none\.cjs" is not valid: expected a module that is found from/,
    );
    configure({ import: './bad.mjs' });
    const bad = await site.ask('reload');
    assert.notEqual(bad.code, 0);
    await until(() => /a bad preload/.test(server.stderr), 'the error');
    assert.equal(await site.version(), 'd,a,c');
  });

  const wrong: Record<string, { args: string[]; env?: Record<string, string>; says: RegExp }> = {
    'a file that does not exist': {
      args: ['--import', './none.mjs'],
      says: /^fasticorn: --import: ".\/none\.mjs" is not valid: .*: it does not exist\n$/,
    },
    'a package that does not exist': {
      args: [],
      env: { FASTICORN_IMPORT: './a file.mjs,none/register' },
      says: /^fasticorn: FASTICORN_IMPORT="none\/register" \(the variable for --import\): .*Cannot find package 'none'\n$/,
    },
    'a package that is for import only': {
      args: ['--require', 'only-import/register'],
      says: /^fasticorn: --require: "only-import\/register" is not valid: expected a module .*\n$/,
    },
    'a data: URL': {
      args: ['--import', 'data:text/javascript,1'],
      says: /use --node-options \(got "data:text\/javascript" between commas\)\n$/,
    },
  };
  for (const [what, { args, env, says }] of Object.entries(wrong)) {
    it(`refuse ${what} before anything starts`, async (t) => {
      const site = prepare(t);
      for (const action of [[], ['--check-config']]) {
        const bind = ['-b', `unix:${site.socket}`];
        const outcome = await fasticorn(t, [...action, ...bind, ...args, './app.mjs'], {
          ...{ cwd: site.directory, ...(env && { env }) },
        });
        assert.deepEqual([outcome.code, outcome.stdout], [1, '']);
        assert.match(outcome.stderr, says);
      }
    });
  }
});
