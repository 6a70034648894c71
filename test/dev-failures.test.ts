/**
 * `fasticorn dev` with an app that cannot start: what is said of it, and that any fix is noticed.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { answers, appOf, develop, developBroken, moduleOf } from './support/development.ts';
import { isRunning, type Server, until } from './support/server.ts';
import { versionApp } from './support/site.ts';

const failed = (server: Server) => until(() => server.stderr.includes('reload failed'), 'the reload to fail');
const stackOf = (server: Server) =>
  (server.log().findLast(({ err }) => err) as { err?: { stack: string } } | undefined)?.err?.stack ?? '';

describe('While the app cannot start', () => {
  for (const [how, source] of [
    ['imported', versionApp('1', '').replace('import', `import './version.mjs'; import`)],
    ['imported when it is needed', appOf('./version.mjs')],
  ] as const) {
    it(`the last code that could answers, and a syntax error in what is ${how} is shown with its line`, async (t) => {
      const { site, server } = await develop(t, { 'app.mjs': source, 'version.mjs': moduleOf('1') });
      site.write('version.mjs', '// a comment\nexport const version = ;\n');
      await failed(server);
      assert.match(stackOf(server), /version\.mjs:2\nexport const version = ;\n {23}\^\n/);
      assert.equal(await site.version(), '1');
      site.write('version.mjs', moduleOf('2'));
      await until(() => server.stderr.includes('generation 3 serves'), 'the fix to serve');
    });
  }

  it('so does it when the app throws, whose line is shown as well', async (t) => {
    const { site, server } = await develop(t, { 'app.mjs': versionApp('1') });
    site.write('app.mjs', `export default async () => {\n  throw new Error('no database');\n};\n`);
    await failed(server);
    assert.match(
      stackOf(server),
      /app\.mjs:2\n {2}throw new Error\('no database'\);\n {8}\^\n\nError: no database\n/,
    );
    assert.equal(await site.version(), '1');
    site.deploy('2');
    await answers(site, '2');
  });

  it('an upgrade is refused, and a reload is not, if it never could', async (t) => {
    const { site, server } = await developBroken(t, { 'app.mjs': 'throw new Error("no");' });
    server.kill('SIGUSR2');
    await until(() => server.stderr.includes('cannot upgrade: nothing serves yet'), 'the refusal');
    server.kill('SIGHUP');
    await failed(server);
    site.deploy('2');
    await answers(site, '2');
    assert.equal(await server.stop(), 0);
  });

  it('a file that was missing is noticed when it is there', async (t) => {
    const { site, server } = await develop(t, { 'app.mjs': versionApp('1') });
    site.write('app.mjs', appOf('./lib/new.mjs'));
    await failed(server);
    site.write('lib/new.mjs', moduleOf('2'));
    await answers(site, '2');
  });

  it('code that nobody has loaded may be what was missing', async (t) => {
    const { site, server } = await develop(t, { 'app.mjs': versionApp('1') });
    site.write(
      'app.mjs',
      versionApp('2', `JSON.parse((await import('node:fs')).readFileSync('settings.json'));`),
    );
    await failed(server);
    site.write('settings.json', '{}');
    await answers(site, '2');
  });

  it('a package that was missing is noticed when it is installed', async (t) => {
    const { site, server } = await develop(t, { 'app.mjs': versionApp('1') });
    site.write('app.mjs', appOf('dependency'));
    await failed(server);
    site.write('node_modules/dependency/package.json', '{ "exports": "./index.mjs" }');
    site.write('node_modules/dependency/index.mjs', moduleOf('2'));
    site.write('node_modules/.package-lock.json', '{}');
    await answers(site, '2');
  });
});

describe('A first start that fails', () => {
  const broken = {
    'because of its syntax': 'export default async (app) => {',
    'because it throws': `throw new Error('no database');`,
    'because a module is missing': appOf('./nowhere.mjs').replace(
      'const {',
      `import './nowhere.mjs'; const {`,
    ),
    'because the app ends its process': `console.error('failed to start'); process.exit(3);`,
  };
  for (const [why, source] of Object.entries(broken)) {
    it(`${why} waits for a better one`, async (t) => {
      const { site, server } = await developBroken(t, { 'app.mjs': source });
      await until(() => server.workers().length === 0, 'the worker to end');
      assert.equal(isRunning(server.pid), true);
      assert.equal(existsSync(site.socket), false);
      site.write('app.mjs', 'export default async (app) => { wrong(); };');
      await until(() => server.stderr.includes('reload failed'), 'the second one to fail');
      site.deploy('3');
      await answers(site, '3');
      await until(() => server.stderr.includes('ready after'), 'the first line');
      site.deploy('4');
      await answers(site, '4');
      assert.equal(await server.stop(), 0);
      assert.equal(existsSync(site.socket), false);
    });
  }

  it('is ended by SIGINT', async (t) => {
    const { server } = await developBroken(t, { 'app.mjs': broken['because it throws'] });
    server.kill('SIGINT');
    assert.equal((await server.exited).code, 0);
  });
});

describe('The arbiter outlives', () => {
  it('whatever an app says over the channel that Node tells it of files on', async (t) => {
    const odd = `
      const names = ['file://host/x', 'file:///%2F', 'file:///%', '/no\\0file.js', '/x'.repeat(5000), 'x', '', null, 1, {}, ['/y']];
      for (const name of names) process.send({ 'watch:import': [name], 'watch:require': name });
      for (const message of [null, 1, 'x', [], { 'watch:import': null }, { 'watch:require': {} }]) process.send(message);
      process.send({ 'watch:import': Array.from({ length: 1e5 }, (_, i) => '/no/such/' + i) });
      process.send({ 'watch:require': ['/no\\0file.js'] });
    `;
    const { site, server } = await develop(t, { 'app.mjs': `${odd}\n${versionApp('1')}` });
    site.write('app.mjs', `${odd}\nawait new Promise((said) => process.send(0, said)); new Function('=');`);
    await failed(server);
    site.deploy('2');
    await answers(site, '2');
  });

  it('a stack that names files that cannot be', async (t) => {
    const { site, server } = await develop(t, { 'app.mjs': versionApp('1') });
    site.write(
      'app.mjs',
      `throw Object.assign(new Error('odd'), { stack: 'file:///%2F:1\\nError: odd\\n    at f (file:///%:1:1)' });`,
    );
    await failed(server);
    site.deploy('2');
    await answers(site, '2');
  });
});
