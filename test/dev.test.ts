/**
 * `fasticorn dev`: which changes of files make it reload.
 */
import assert from 'node:assert/strict';
import { readFileSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { answers, appOf, develop, moduleOf } from './support/development.ts';
import { fetchFrom } from './support/http.ts';
import { until } from './support/server.ts';
import { versionApp } from './support/site.ts';

describe('A change', () => {
  it('of the app itself is served by one worker, in development, and said in two lines', async (t) => {
    const { site, server } = await develop(t, { 'app.mjs': versionApp('1') });
    assert.equal((await site.status()).wanted, 1);
    site.deploy('2', `app.get('/env', async () => process.env.NODE_ENV);`);
    await answers(site, '2');
    await until(() => server.stderr.includes('serves'), 'the line');
    assert.equal((await fetchFrom({ socketPath: site.socket }, '/env')).body, 'development');
    const lines = server.log().map(({ msg }) => msg);
    const from = lines.indexOf('app.mjs changed: reloading');
    assert.match(lines[from + 1]!, /^generation 2 serves with 1 worker, after \d+ ms$/);
  });

  it('of what was imported, required, or imported with a query', async (t) => {
    const { site } = await develop(t, {
      'app.mjs': versionApp(
        '',
        `const [{ default: a }, b] = [await import('./a.cjs'), await import('./lib/b.mjs?x=1#y')]; app.get('/all', () => a + b.version);`,
      ),
      'a.cjs': `module.exports = require('./lib/c.cjs') + require('./data.json').version;`,
      'lib/c.cjs': `module.exports = 'c1 ';`,
      'data.json': `{ "version": "d1 " }`,
      'lib/b.mjs': moduleOf('b1'),
    });
    const all = async () => (await fetchFrom({ socketPath: site.socket }, '/all')).body;
    assert.equal(await all(), 'c1 d1 b1');
    site.write('lib/c.cjs', `module.exports = 'c2 ';`);
    await until(async () => (await all()) === 'c2 d1 b1', 'the change of a required module');
    site.write('data.json', `{ "version": "d2 " }`);
    await until(async () => (await all()) === 'c2 d2 b1', 'the change of required JSON');
    site.write('lib/b.mjs', moduleOf('b2'));
    await until(async () => (await all()) === 'c2 d2 b2', 'the change of an imported module');
  });

  it('of TypeScript under a loader', async (t) => {
    const { site } = await develop(
      t,
      { 'app.mjs': appOf('./version.ts'), 'version.ts': `export const version: string = '1';` },
      { env: { NODE_OPTIONS: `--import ${import.meta.resolve('tsx')}` } },
    );
    site.write('version.ts', `export const version: string = '2';`);
    await answers(site, '2');
  });

  it('that an editor saves by renaming, again and again', async (t) => {
    const { site } = await develop(t, { 'app.mjs': appOf('./version.mjs'), 'version.mjs': moduleOf('1') });
    const path = join(site.directory, 'version.mjs');
    for (const version of ['2', '3', '4']) {
      renameSync(path, `${path}~`);
      writeFileSync(`${path}.new`, moduleOf(version));
      renameSync(`${path}.new`, path);
      await answers(site, version);
    }
  });

  it('of where a symbolic link leads to', async (t) => {
    const { site } = await develop(t, {
      'app.mjs': versionApp('0'),
    });
    site.write('releases/1/version.mjs', moduleOf('1'));
    site.write('releases/2/version.mjs', moduleOf('2'));
    const link = join(site.directory, 'current');
    symlinkSync('releases/1', link);
    site.write('app.mjs', appOf('./current/version.mjs'));
    await answers(site, '1');
    symlinkSync('releases/2', `${link}.new`);
    renameSync(`${link}.new`, link);
    await answers(site, '2');
    site.write('releases/2/version.mjs', moduleOf('3'));
    await answers(site, '3');
  });

  it('of a directory that is moved away', async (t) => {
    const { site, server } = await develop(t, {
      'app.mjs': appOf('./lib/version.mjs'),
      'lib/version.mjs': moduleOf('1'),
    });
    const at = (name: string) => join(site.directory, name);
    renameSync(at('lib'), at('old'));
    await until(() => server.stderr.includes('Cannot find module'), 'the failure to be told');
    renameSync(at('old'), at('lib'));
    await answers(site, '1');
  });

  it('of a directory that is removed and made anew, or replaced', async (t) => {
    const { site } = await develop(t, {
      'app.mjs': appOf('./src/deep/version.mjs'),
      'src/deep/version.mjs': moduleOf('1'),
    });
    const at = (name: string) => join(site.directory, name);
    rmSync(at('src'), { recursive: true });
    site.write('src/deep/version.mjs', moduleOf('2'));
    await answers(site, '2');
    site.write('next/deep/version.mjs', moduleOf('3'));
    renameSync(at('src'), at('old'));
    renameSync(at('next'), at('src'));
    await answers(site, '3');
    site.write('src/deep/version.mjs', moduleOf('4'));
    await answers(site, '4');
  });

  it('during a reload is not missed, and does not wait for code that is out of date', async (t) => {
    const { site } = await develop(t, { 'app.mjs': appOf('./version.mjs'), 'version.mjs': moduleOf('1') });
    site.write('version.mjs', `${moduleOf('2')} await new Promise((resolve) => setTimeout(resolve, 1e9));`);
    await until(async () => (await site.status()).generation.next === 2, 'the reload to begin');
    assert.equal(await site.version(), '1');
    site.write('version.mjs', moduleOf('3'));
    await answers(site, '3');
  });

  it('is none if the content is the same, or if nobody has loaded the file', async (t) => {
    const { site, server } = await develop(t, {
      'app.mjs': appOf('./version.mjs'),
      'version.mjs': moduleOf('1'),
      'other.mjs': '',
    });
    utimesSync(join(site.directory, 'version.mjs'), 1, 1);
    site.write('version.mjs', readFileSync(join(site.directory, 'version.mjs'), 'utf8'));
    site.write('other.mjs', '1;');
    site.write('app.log', 'a line');
    site.write('version.mjs', moduleOf('2'));
    await answers(site, '2');
    await until(() => server.stderr.includes('generation 2 serves'), 'the reload to end');
    site.write('version.mjs', moduleOf('3'));
    await answers(site, '3');
    assert.deepEqual(
      server.log().flatMap(({ msg }) => (msg.endsWith('reloading') ? [msg] : [])),
      ['version.mjs changed: reloading', 'version.mjs changed: reloading'],
    );
  });

  it('of what a worker loads while it starts may have come too late for it: it is loaded once more', async (t) => {
    const { site } = await develop(t, { 'app.mjs': versionApp('1') });
    site.write('elsewhere/version.mjs', moduleOf('2'));
    const gate = `while (!(await import('node:fs')).existsSync('gate'))
      await new Promise((resolve) => setTimeout(resolve, 10));`;
    site.write('app.mjs', `${gate}\n${appOf('./elsewhere/version.mjs')}`);
    await until(async () => (await site.status()).generation.next === 2, 'the reload to begin');
    site.write('elsewhere/version.mjs', moduleOf('3'));
    site.write('gate', '');
    await answers(site, '3');
    await until(async () => (await site.status()).generation.current === 3, 'one more reload');
  });

  it('is none that the app itself has made while it started', async (t) => {
    const { site } = await develop(t, {
      'app.mjs': `${versionApp('1')}
        import { writeFileSync } from 'node:fs';
        const name = './made-' + process.pid + '.mjs';
        writeFileSync(name, 'export const pid = ' + process.pid);
        await import(name);`,
      'other.mjs': '',
    });
    for (const version of ['2', '3']) {
      site.deploy(version);
      await answers(site, version);
    }
    await until(async () => (await site.status()).generation.next === null, 'the reload to end');
    assert.ok((await site.status()).generation.current <= 5);
  });

  it('of the config file', async (t) => {
    const { site } = await develop(t, {
      'app.mjs': versionApp('1'),
      'fasticorn.config.json': '{ "keepAlive": 5 }',
    });
    site.write('fasticorn.config.json', '{ "keepAlive": 6 }');
    await until(async () => (await site.status()).settings.keepAlive?.value === '6', 'the setting');
  });

  it('of an env file', async (t) => {
    const { site } = await develop(
      t,
      {
        'app.mjs': versionApp('1', `app.get('/env', async () => process.env.COLOUR);`),
        '.env': 'COLOUR=red',
      },
      { args: ['--env-file', '.env'] },
    );
    site.write('.env', 'COLOUR=blue');
    const colour = async () => (await fetchFrom({ socketPath: site.socket }, '/env')).body;
    await until(async () => (await colour()) === 'blue', 'the new value');
  });

  it('of an env file that the config file has come to name, also if the app fails with it', async (t) => {
    const config = (envFile: string) => JSON.stringify({ envFile: [envFile] });
    const { site, server } = await develop(t, {
      'app.mjs': versionApp(
        '1',
        `const { COLOUR } = process.env; if (COLOUR === 'none') throw new Error(COLOUR);
        app.get('/env', async () => COLOUR);`,
      ),
      'a.env': 'COLOUR=red',
      'b.env': 'COLOUR=none',
      'c.env': 'COLOUR=green',
      'fasticorn.config.json': config('a.env'),
    });
    const shows = async (colour: string) => {
      const ask = () => fetchFrom({ socketPath: site.socket }, '/env').catch(() => undefined);
      await until(async () => (await ask())?.body === colour, colour);
    };
    site.write('fasticorn.config.json', config('b.env'));
    await until(() => server.stderr.includes('reload failed'), 'the reload to fail');
    site.write('b.env', 'COLOUR=blue');
    await shows('blue');
    site.write('fasticorn.config.json', config('c.env'));
    await shows('green');
    site.write('c.env', 'COLOUR=yellow');
    await shows('yellow');
  });

  it('of a package is noticed when it was installed', async (t) => {
    const { site } = await develop(t, {
      'app.mjs': appOf('dependency'),
      'node_modules/dependency/package.json': '{ "exports": "./index.mjs" }',
      'node_modules/dependency/index.mjs': moduleOf('1'),
      'node_modules/.package-lock.json': '1',
    });
    site.write('node_modules/dependency/index.mjs', moduleOf('2'));
    site.write('node_modules/.package-lock.json', '2');
    await answers(site, '2');
  });
});
