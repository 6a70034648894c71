/**
 * Apps in TypeScript: run through the loader that their package lists, natively where Node can, or not at all with one
 * line that says what to do. And what the stacks of their errors name.
 */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fasticorn } from './support/command.ts';
import { fetchFrom } from './support/http.ts';
import { app, type Server, startServer, temporaryDirectory, until } from './support/server.ts';
import { FILE_DECIDES, Site } from './support/site.ts';

const modules = fileURLToPath(new URL('../node_modules', import.meta.url));
const strips = Boolean((process.features as { typescript?: unknown }).typescript);
const native = { skip: !strips && 'needs a Node that strips types, 22.18 or newer' };
const notNative = { skip: strips && 'needs a Node that does not strip types, such as 20' };

/** Serves one of test/apps/typescript from its directory. */
function serve(t: TestContext, name: string, args: string[] = [], env = {}): Promise<Server> {
  return startServer(t, './app.ts', ['-w', '1', ...args], { cwd: app(`typescript/${name}`), env });
}

const get = async (server: Server, path = '/') => (await fetchFrom({ socketPath: server.socket }, path)).body;

const says = (server: Server, text: RegExp) =>
  assert.ok(
    server.log().some(({ msg }) => text.test(msg)),
    `${text} in ${server.stderr}`,
  );

/** The line of app.ts that `/throw` is said to be thrown at. */
async function placeOfThrow(server: Server): Promise<string | undefined> {
  await get(server, '/throw');
  let stack = '';
  await until(() => {
    stack = (server.log().find(({ err }) => err) as { err: { stack: string } } | undefined)?.err.stack ?? '';
    return stack;
  }, 'the error in the log');
  return /app\.ts:\d+/.exec(stack)?.[0];
}

/** A package of its own, in which all of the development dependencies are installed. */
function site(t: TestContext, files: Record<string, string>, packageJson: object = {}): Site {
  const made = new Site(t);
  made.write('package.json', JSON.stringify({ type: 'module', ...packageJson }));
  for (const [name, text] of Object.entries(files)) made.write(name, text);
  symlinkSync(modules, join(made.directory, 'node_modules'));
  return made;
}

const VERSIONED = (version: string) => `
  enum Version { ${version} }
  export default async function (app: { get(path: string, handler: () => Promise<string>): void }) {
    app.get('/version', async () => Version[0]);
  }`;

describe('an app whose package lists tsx', () => {
  it('runs through it, with decorators, enums, parameter properties and aliases of paths', async (t) => {
    const server = await serve(t, 'tsx');
    assert.equal(await get(server), 'hello tsx, Green, DECORATED');
    says(server, /^app\.ts is TypeScript and runs through tsx \d/);
    assert.equal(await server.stop(), 0);
  });

  it('names its own lines in stacks', async (t) => {
    assert.equal(await placeOfThrow(await serve(t, 'tsx')), 'app.ts:10');
  });

  it('names its own lines when a worker of it is stuck', async (t) => {
    const server = await serve(t, 'tsx', ['--timeout', '2']);
    fetchFrom({ socketPath: server.socket }, '/spin').catch(() => {});
    await until(() => /is blocked at spin/.test(server.stderr), 'the autopsy', 40);
    says(server, /is blocked at spin \(file:\/\/\S+\/tsx\/app\.ts:1[67]:\d+\)/);
  });

  it('has its .ts routes loaded by @fastify/autoload', async (t) => {
    assert.equal(await get(await serve(t, 'autoload')), 'autoloaded Yes');
  });

  it('is loaded by --check-config as well', async (t) => {
    const { code, stdout } = await fasticorn(t, ['--check-config', './app.ts'], {
      cwd: app('typescript/tsx'),
    });
    assert.equal(code, 0);
    assert.match(stdout, /^the settings are valid, and .\/app\.ts loads/);
  });

  it('is found through a symbolic link, and in a path with spaces', async (t) => {
    const directory = temporaryDirectory(t);
    const real = join(directory, 'a release');
    cpSync(app('typescript/tsx'), real, { recursive: true });
    symlinkSync(modules, join(real, 'node_modules'));
    symlinkSync(real, join(directory, 'current'));
    const server = await startServer(t, './app.ts', ['-w', '1', '--chdir', join(directory, 'current')]);
    assert.equal(await get(server), 'hello tsx, Green, DECORATED');
  });

  it('is run anew by a reload, and a broken one leaves all as it was', async (t) => {
    const made = site(t, { 'app.ts': VERSIONED('One') }, { devDependencies: { tsx: '*' } });
    await startServer(t, './app.ts', ['-w', '1', '--control-socket', made.control], {
      ...{ socket: made.socket, cwd: made.directory },
    });
    await until(() => existsSync(made.control), 'the control socket');
    assert.equal(await made.version(), 'One');
    made.write('app.ts', 'enum {');
    const failed = await made.ask('reload');
    assert.notEqual(failed.code, 0);
    assert.match(failed.stderr, /app\.ts:1/);
    assert.equal(await made.version(), 'One');
    made.write('app.ts', VERSIONED('Two'));
    assert.equal((await made.ask('reload')).code, 0);
    assert.equal(await made.version(), 'Two');
  });
});

describe('an app whose package lists jiti', () => {
  it('runs through it', async (t) => {
    const server = await serve(t, 'jiti');
    assert.equal(await get(server), 'hello jiti, Green');
    says(server, /^app\.ts is TypeScript and runs through jiti 2/);
  });

  it('names its own lines in stacks', async (t) => {
    assert.equal(await placeOfThrow(await serve(t, 'jiti')), 'app.ts:8');
  });
});

describe('an app whose package lists no loader', () => {
  it('runs natively where Node strips types', native, async (t) => {
    const server = await serve(t, 'plain');
    assert.equal(await get(server), 'hello plain');
    says(server, /^app\.ts is TypeScript and runs natively, by Node \d/);
    assert.equal(await placeOfThrow(server), 'app.ts:12');
  });

  it('is refused with what to install where Node does not', notNative, async (t) => {
    for (const action of [[], ['--check-config']]) {
      const { code, stderr } = await fasticorn(t, [...action, './app.ts'], { cwd: app('typescript/plain') });
      assert.equal(code, 4);
      assert.match(
        stderr,
        /^fasticorn: \S+app\.ts: Node \S+ does not run TypeScript by itself: npm install tsx in \S+plain, or use Node 22\.18 or newer\n$/,
      );
    }
  });

  it('runs through the loader that --import names, from wherever that is', async (t) => {
    const server = await serve(t, 'plain', ['--import', 'tsx']);
    assert.equal(await get(server), 'hello plain');
    says(server, /^app\.ts is TypeScript and runs through tsx, which Node's flags name$/);
  });

  it('runs through the loader that NODE_OPTIONS names', async (t) => {
    const server = await serve(t, 'plain', [], { NODE_OPTIONS: '--import tsx' });
    assert.equal(await get(server), 'hello plain');
    says(server, /through tsx, which Node's flags name$/);
  });

  const cannot: Record<string, Record<string, string>> = {
    'an enum': { 'app.ts': VERSIONED('One') },
    'a parameter property': { 'app.ts': 'export default class { constructor(readonly name: string) {} }' },
    'a decorator': {
      'app.ts': 'function d(): any {}\nclass A {\n  @d\n  m() {}\n}\nexport default async () => A;',
    },
    'an import of .js for .ts': { 'app.ts': "import './x.js';", 'x.ts': '' },
    'an import without its extension': { 'app.ts': "import './x';", 'x.ts': '' },
  };
  for (const [what, files] of Object.entries(cannot)) {
    it(`is told to install tsx for ${what}`, native, async (t) => {
      const made = site(t, files);
      for (const action of [[], ['--check-config']]) {
        const { code, stderr } = await fasticorn(
          t,
          [...action, '-w', '1', '-b', `unix:${made.socket}`, './app.ts'],
          {
            cwd: made.directory,
          },
        );
        assert.equal(code, 4);
        assert.match(stderr, /Node itself only strips types; npm install tsx/);
      }
    });
  }

  it('is not told so for a module that is not there at all', native, async (t) => {
    const made = site(t, { 'app.ts': "import './x.js';" });
    const { code, stderr } = await fasticorn(t, ['--check-config', './app.ts'], { cwd: made.directory });
    assert.equal(code, 4);
    assert.doesNotMatch(stderr, /npm install tsx/);
  });

  it('takes the place of one in JavaScript by a reload, once its loader is installed', async (t) => {
    const made = new Site(t);
    const configure = (file: string) =>
      made.write('fasticorn.config.json', JSON.stringify({ workers: 1, app: file }));
    made.write('package.json', '{ "type": "module" }');
    made.deploy('js');
    made.write('app.ts', VERSIONED('Ts'));
    configure('./app.mjs');
    const server = await startServer(t, '--no-pretty', ['--control-socket', made.control], {
      ...{ socket: made.socket, cwd: made.directory, env: FILE_DECIDES },
    });
    await until(() => existsSync(made.control), 'the control socket');
    configure('./app.ts');
    await made.serves('js');
    const failed = await made.ask('reload');
    assert.notEqual(failed.code, 0);
    assert.match(failed.stderr, /npm install tsx/);
    assert.equal(await made.version(), 'js');
    made.write('package.json', '{ "type": "module", "devDependencies": { "tsx": "*" } }');
    symlinkSync(modules, join(made.directory, 'node_modules'));
    assert.equal((await made.ask('reload')).code, 0);
    assert.equal(await made.version(), 'Ts');
    says(server, /through tsx \d/);
  });
});

describe('a package that lists a loader that is not installed', () => {
  it('is as if it listed none', notNative, async (t) => {
    const made = new Site(t);
    mkdirSync(join(made.directory, 'node_modules'));
    made.write('package.json', '{ "devDependencies": { "tsx": "*", "jiti": "*" } }');
    made.write('app.ts', 'export default async () => {}');
    const { code, stderr } = await fasticorn(t, ['./app.ts'], { cwd: made.directory });
    assert.equal(code, 4);
    assert.match(stderr, /npm install tsx/);
  });
});
