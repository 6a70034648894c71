import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { lineOfKey } from '../src/config/key-line.ts';
import { readConfigFile } from '../src/config-file.ts';
import { UserError } from '../src/errors.ts';

const directory = mkdtempSync(join(tmpdir(), 'fasticorn-config-'));
after(() => rmSync(directory, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), text);
}

write('esm/package.json', '{ "type": "module" }');
write('cjs/package.json', '{ "type": "commonjs" }');
write('cjs/module.js', 'export default {}');

const env = { PATH: process.env.PATH, GIVEN: 'yes' };
const read = (path: string, limit?: number) =>
  readConfigFile(path, { directory, env, ...(limit && { limit }) });

async function valuesOf(path: string, text: string): Promise<Record<string, unknown>> {
  write(path, text);
  return (await read(path)).values;
}

/** The message of the UserError that a file with this text makes. */
async function mistake(path: string, text: string, limit?: number): Promise<string> {
  write(path, text);
  return mistakeOf(path, limit);
}

async function mistakeOf(path: string, limit?: number): Promise<string> {
  try {
    await read(path, limit);
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return error.message;
  }
  assert.fail(`no mistake found in ${path}`);
}

describe('a config file', () => {
  it('may be JSON', async () => {
    assert.deepEqual(await valuesOf('a.json', '\uFEFF{ "workers": 4, "bind": ["unix:/a"] }'), {
      workers: 4,
      bind: ['unix:/a'],
    });
  });

  it('may be a module', async () => {
    const text = 'export default { workers: 4, pretty: true, pid: null, node: undefined, bind: ["a", "b"] }';
    assert.deepEqual(await valuesOf('a.mjs', text), {
      workers: 4,
      pretty: true,
      pid: null,
      node: null,
      bind: ['a', 'b'],
    });
  });

  it('may be of the type that its package says', async () => {
    assert.deepEqual(await valuesOf('esm/a.js', 'export default { workers: 1 }'), { workers: 1 });
    assert.deepEqual(await valuesOf('cjs/a.js', 'module.exports = { workers: 2 }'), { workers: 2 });
  });

  it('may be CommonJS, also such as compilers make of an ES module', async () => {
    for (const exported of [
      'module.exports = { workers: 3 }',
      'module.exports = async () => ({ workers: 3 })',
      'module.exports = Promise.resolve({ workers: 3 })',
      'Object.defineProperty(exports, "__esModule", { value: true });\nexports.default = { workers: 3 }',
    ]) {
      assert.deepEqual(await valuesOf('a.cjs', exported), { workers: 3 }, exported);
    }
  });

  it('may be a function or a promise', async () => {
    for (const made of [
      '() => ({ workers: 3 })',
      'async () => ({ workers: 3 })',
      'Promise.resolve({ workers: 3 })',
    ]) {
      assert.deepEqual(await valuesOf('made.mjs', `export default ${made}`), { workers: 3 }, made);
    }
  });

  it('may have objects, for the settings that take them', async () => {
    const text = 'export default { appOptions: { a: [1, { b: null }] } }';
    assert.deepEqual(await valuesOf('object.mjs', text), { appOptions: { a: [1, { b: null }] } });
  });

  it('is read anew each time, with what it imports', async () => {
    const config = 'import { workers } from "./part.mjs"; export default { workers }';
    write('part.mjs', 'export const workers = 1');
    assert.deepEqual(await valuesOf('whole.mjs', config), { workers: 1 });
    write('part.mjs', 'export const workers = 2');
    assert.deepEqual((await read('whole.mjs')).values, { workers: 2 });
  });

  it('has the environment and the directory that were given, and nothing of ours', async () => {
    const text =
      'export default { pid: process.cwd(), node: process.env.GIVEN, pretty: process.execArgv.includes("tsx") }';
    const { pid, node, pretty } = await valuesOf('where.mjs', text);
    assert.match(String(pid), new RegExp(`${directory}$`));
    assert.deepEqual([node, pretty], ['yes', false]);
  });

  it('may leave timers and exit handlers behind', async () => {
    const text = `
      setInterval(() => {}, 1000);
      process.on('exit', () => { for (;;); });
      export default { workers: 5 };`;
    write('busy.mjs', text);
    assert.deepEqual((await read('busy.mjs', 3600)).values, { workers: 5 });
  });

  it('may print, to standard error: standard output belongs to the access log', () => {
    write('loud.mjs', 'console.log("hello"); export default {}');
    const file = new URL('../src/config-file.ts', import.meta.url).href;
    const program = `
      import { readConfigFile } from ${JSON.stringify(file)};
      await readConfigFile('loud.mjs', { directory: ${JSON.stringify(directory)}, env: {} });`;
    const args = ['--import', 'tsx', '--input-type=module', '--eval', program];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.deepEqual([stdout, stderr], ['', 'hello\n']);
  });

  it('may be large', async () => {
    const { bind } = await valuesOf('large.mjs', 'export default { bind: Array(1e5).fill("unix:/a") }');
    assert.equal((bind as string[]).length, 1e5);
  });

  it('can have a key that is special to objects, which changes nothing', async () => {
    for (const [path, text] of [
      ['proto.json', '{ "__proto__": { "workers": 4 } }'],
      ['proto.mjs', 'export default { ["__proto__"]: 4 }'],
    ]) {
      const values = await valuesOf(path!, text!);
      assert.deepEqual(Object.keys(values), ['__proto__']);
      assert.equal(values.workers, undefined);
    }
  });

  it('keeps the name that people know, though it is reached by a link', async () => {
    write('releases/1/app.mjs', '\nthrow new Error("not today")');
    symlinkSync('releases/1', join(directory, 'current'));
    assert.equal(await mistakeOf('current/app.mjs'), 'current/app.mjs:2: not today');
  });
});

describe('TypeScript in a config file', () => {
  const runsTypeScript = () => !!(process.features as { typescript?: unknown }).typescript;
  const text = 'interface Options { workers: number }\nexport default { workers: 4 } satisfies Options;';

  /** A directory in which only these of our own development dependencies are installed. */
  function withInstalled(name: string, ...packages: string[]): string {
    mkdirSync(join(directory, name, 'node_modules'), { recursive: true });
    for (const one of packages) {
      const target = fileURLToPath(new URL(`../node_modules/${one}`, import.meta.url));
      symlinkSync(target, join(directory, name, 'node_modules', one));
    }
    return name;
  }

  for (const loader of ['tsx', 'jiti']) {
    it(`is run by ${loader}, if Node can't and that is installed`, async () => {
      const place = withInstalled(`with-${loader}`, loader);
      for (const type of ['module', 'commonjs', undefined]) {
        write(`${place}/package.json`, JSON.stringify({ type }));
        if (runsTypeScript() && type === 'commonjs') continue;
        for (const name of ['a.ts', 'a.mts'])
          assert.deepEqual(await valuesOf(`${place}/${name}`, text), { workers: 4 }, `${type} ${name}`);
      }
      const wrong = await mistake(`${place}/wrong.ts`, 'const a: number = 1;\n\nconst b: number = {;');
      assert.match(wrong, new RegExp(`^${place}/wrong\\.ts:3: \\S.*`));
      assert.ok(!wrong.includes(directory), wrong);
      const thrown = await mistake(`${place}/throws.ts`, 'type A = 1;\n\nthrow new Error("no" as string)');
      assert.equal(thrown, `${place}/throws.ts:3: no`);
    });
  }

  it('is run by Node, if that can, or else a line says what to install', async () => {
    const place = withInstalled('alone');
    write('alone/package.json', '{ "type": "module" }');
    write('alone/a.ts', text);
    if (runsTypeScript()) {
      assert.deepEqual((await read('alone/a.ts')).values, { workers: 4 });
      return;
    }
    assert.equal(
      await mistakeOf(`${place}/a.ts`),
      `alone/a.ts: Node ${process.versions.node} cannot run TypeScript: ` +
        'npm install --save-dev tsx (or jiti), or use Node 22.18 or newer, or JavaScript',
    );
  });

  it('is refused where its package makes it CommonJS, with the name that works', async (t) => {
    if (!runsTypeScript()) return t.skip('tsx and jiti take either');
    assert.equal(
      await mistake('cjs/c.ts', 'export default {}'),
      "cjs/c.ts:1: SyntaxError: Unexpected token 'export' (the file counts as CommonJS; an ES module has the name cjs/c.mts)",
    );
  });

  it('makes no noise of its own', () => {
    withInstalled('quiet', 'tsx');
    write('quiet/package.json', '{}');
    write('quiet/a.ts', text);
    const file = new URL('../src/config-file.ts', import.meta.url).href;
    const program = `
      import { readConfigFile } from ${JSON.stringify(file)};
      await readConfigFile('quiet/a.ts', { directory: ${JSON.stringify(directory)}, env: {} });`;
    const args = ['--import', 'tsx', '--input-type=module', '--eval', program];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.deepEqual([stdout, stderr], ['', '']);
  });
});

describe('hooks', () => {
  it('are found by their names, and are no settings', async () => {
    const text = 'export default { workers: 2, whenReady() {}, onExit: async () => {}, onReload: null }';
    assert.deepEqual(await valuesOf('hooks.mjs', text), { workers: 2 });
    const { hooks } = await read('hooks.mjs');
    const file = join(realpathSync(directory), 'hooks.mjs');
    assert.deepEqual(hooks, { path: 'hooks.mjs', file, names: ['whenReady', 'onExit'] });
    write('hooks.json', '{}');
    assert.equal((await read('hooks.json')).hooks, undefined);
  });

  it('are not run while the file is read', async () => {
    const text = 'export default { workers: 2, onStarting() { process.exit(1); }, onExit() { for (;;); } }';
    assert.deepEqual(await valuesOf('lazy.mjs', text), { workers: 2 });
  });

  const mistakes: [path: string, text: string, message: string][] = [
    ['a.mjs', '{\n onExit: "x" }', 'a.mjs:2: "onExit" is a string: expected a function, as it is a hook'],
    ['a.mjs', '{ onExit: [] }', 'a.mjs:1: "onExit" is an object: expected a function, as it is a hook'],
    ['a.mjs', '{ onExitt() {} }', 'a.mjs:1: "onExitt" is a function: did you mean the hook onExit?'],
    [
      'a.mjs',
      '{ onRequest() {} }',
      'a.mjs:1: "onRequest" is a function: no hook has that name; there are onStarting, workerReady, whenReady, ' +
        'onReload, workerStuck, workerExit, onExit',
    ],
    ['a.mjs', '{ when_ready() {} }', 'a.mjs:1: "when_ready" is a function: did you mean the hook whenReady?'],
    [
      'a.mjs',
      '{ worker_abort() {} }',
      'a.mjs:1: "worker_abort" is a function: did you mean the hook workerStuck?',
    ],
    [
      'a.mjs',
      '{ pre_exec() {} }',
      'a.mjs:1: "pre_exec" is a function: only Gunicorn has that: an upgrade starts a new arbiter, with `onStarting`',
    ],
    [
      'a.json',
      '{\n "onExit": "x" }',
      'a.json:2: "onExit" is a hook, a function, and JSON has none: use fasticorn.config.mjs',
    ],
  ];
  for (const [path, text, message] of mistakes) {
    it(message, async () =>
      assert.equal(await mistake(path, path.endsWith('json') ? text : `export default ${text}`), message),
    );
  }
});

describe('the line of a key', () => {
  const line = async (key: string, text: string, path = 'lines.mjs') => {
    write(path, text);
    return (await read(path)).lineOf(key);
  };

  it('is that of its value', async () => {
    const text = '// workers: 4\nexport default {\n  maxRequests: 5,\n  "workers": 4,\n  pid: "workers",\n};';
    assert.equal(await line('workers', text), 4);
    assert.equal(await line('maxRequests', text), 3);
    assert.equal(await line('Requests', text), undefined);
  });

  it('may be that of a shorthand or an assignment', async () => {
    assert.equal(await line('workers', 'const workers = 4;\nexport default {\n workers };'), 1);
    assert.equal(await line('pid', 'const c = {};\nc.pid = "a";\nexport default c'), 2);
    assert.equal(await line('pid', 'const c = {};\nc["pid"] = "a";\nexport default c'), 2);
    write('part.mjs', 'export const node = "a"');
    assert.equal(await line('node', 'import { node } from "./part.mjs";\nexport default {\n  node,\n}'), 3);
  });

  it('is found where the key is computed, spread, or stands in TypeScript', async () => {
    assert.equal(await line('workers', 'export default {\n  ["workers"]: 4,\n};'), 2);
    assert.equal(await line('workers', 'export default {\n  ...(1 && {\n workers: 4 }),\n};'), 3);
    const typed = `
      interface Options { workers: number; pid?: string }
      const count = (workers: number): Options => ({ workers });
      export default {
        workers: true ? count(4).workers : 2,
        pid: 'workers: 3',
      } satisfies Options;`;
    assert.deepEqual([lineOfKey(typed, 'workers'), lineOfKey(typed, 'pid')], [5, 6]);
  });

  it('is that of the settings, not of what is nested in them or of a comment', () => {
    const nested = `{
      "appOptions": {
        "workers": 1 },
      "workers": 2,
      "other": { "workers": 3 } }`;
    assert.equal(lineOfKey(nested, 'workers'), 4);
    const commented = "/*\n workers: 1\n*/\nexport default {\n // workers: 2\n url: 'http://a', workers: 3 }";
    assert.equal(lineOfKey(commented, 'workers'), 6);
  });

  it('is the last of several, as it is when the file runs', () =>
    assert.equal(lineOfKey('const base = { pid: 1 };\nexport default { ...base, pid: 2 };', 'pid'), 2));

  it('is found for keys that are no words', async () => {
    assert.equal(await line('a-b\n(c', '{\n "a-b\\n(c": 1,\n "a.b": 1 }', 'odd.json'), undefined);
    assert.equal(await line('a.b', '{\n "a-b": 1,\n "a.b": 1 }', 'odd.json'), 3);
  });
});

describe('a mistake in a file is told in one line:', () => {
  const mistakes: [path: string, text: string, message: string][] = [
    // JSON.
    ['a.json', '{\n  "workers": 4,\n  "bind": x\n}', "a.json:3:11: not valid JSON: Unexpected token 'x'"],
    ['a.json', '{\n  "workers": 4,\n}', 'a.json:3:1: not valid JSON: Expected double-quoted property name'],
    ['a.json', '// c\n{}', "a.json:1:1: not valid JSON: Unexpected token '/'"],
    ['a.json', '{ "a": tru }', "a.json:1:11: not valid JSON: Unexpected token ' '"],
    ['a.json', '{ "a": tru\n}', "a.json:1:11: not valid JSON: Unexpected token '\\n'"],
    ['a.json', '', 'a.json:1:1: not valid JSON: Unexpected end of JSON input'],
    ['a.json', '[1]', 'a.json: expected an object of settings, such as { "workers": 4 }'],
    ['a.json', 'null', 'a.json: expected an object of settings, such as { "workers": 4 }'],
    // JavaScript that cannot run.
    ['a.mjs', 'export default {\n  a: 1\n  b: 2\n}', "a.mjs:3: SyntaxError: Unexpected identifier 'b'"],
    ['a.js', 'module.exports = {\n  a: 1\n  b: 2\n}', "a.js:3: SyntaxError: Unexpected identifier 'b'"],
    ['a b.mjs', '\nthrow new Error("no\\nthing")', 'a b.mjs:2: no thing'],
    ['a.mjs', '\nnope.nope', 'a.mjs:2: ReferenceError: nope is not defined'],
    ['a.mjs', 'throw undefined', 'a.mjs: undefined'],
    ['a.mjs', 'throw null', 'a.mjs: null'],
    ['a.mjs', 'export default () => {\n  throw new Error("x") }', 'a.mjs:2: x'],
    ['a.mjs', 'export default Promise.reject(new Error("x"))', 'a.mjs:1: x'],
    ['a.mjs', 'export default {\n  get pid() { throw new Error("x") } }', 'a.mjs:2: x'],
    [
      'a.mjs',
      'setImmediate(() => {\n throw new Error("x") });\nawait new Promise((done) => setTimeout(done, 60000));',
      'a.mjs:2: x',
    ],
    // JavaScript without a value.
    ['a.mjs', 'export const a = 1', 'a.mjs: it has no default export: expected export default { … }'],
    ['a.mjs', 'export default 5', 'a.mjs: its default export is number: expected an object of settings'],
    ['a.mjs', 'export default []', 'a.mjs: its default export is an array: expected an object of settings'],
    [
      'a.mjs',
      'export default () => null',
      'a.mjs: its default export is null: expected an object of settings',
    ],
    [
      'a.mjs',
      'process.exit(0)',
      'a.mjs: its process ended (exit code 0) before its default export was there',
    ],
    [
      'a.mjs',
      'process.kill(process.pid, "SIGKILL"); for (;;);',
      'a.mjs: its process ended (SIGKILL) before its default export was there',
    ],
    [
      'a.mjs',
      'export default new Promise(() => {})',
      'a.mjs: it waits for a promise that nobody will ever settle',
    ],
    // A file that is none.
    ['a.yaml', '', 'a.yaml: expected a config file that ends in one of .ts, .mts, .js, .mjs, .cjs, .json'],
    ['a', '', 'a: expected a config file that ends in one of .ts, .mts, .js, .mjs, .cjs, .json'],
    ['a.mjs', 'throw { code: 1 }', 'a.mjs: { code: 1 }'],
    // Numbers that people read as octal.
    [
      'a.json',
      '{\n"umask": 77 }',
      'a.json:2: "umask" is the number 77, and JSON has none in octal: write it as text, such as "0077"',
    ],
    [
      'a.json',
      '{ "socketMode": 440 }',
      'a.json:1: "socketMode" is the number 440, and JSON has none in octal: write it as text, such as "0440"',
    ],
    // The wrong kind of module.
    [
      'b.mjs',
      'import "./cjs/module.js"; export default {}',
      `b.mjs: ${join(directory, 'cjs/module.js')}:1: SyntaxError: Unexpected token 'export' (the file counts as CommonJS; ` +
        `an ES module has the name ${join(directory, 'cjs/module.mjs')})`,
    ],
    [
      'cjs/b.js',
      'export default {}',
      "cjs/b.js:1: SyntaxError: Unexpected token 'export' (the file counts as CommonJS; an ES module has the name cjs/b.mjs)",
    ],
  ];
  for (const [path, text, message] of mistakes) {
    it(message, async () => assert.equal(await mistake(path, text), message));
  }

  const oddities = [
    ['() => 4', 'a function'],
    ['NaN', 'NaN'],
    ['-Infinity', '-Infinity'],
    ['4n', 'a bigint'],
    ['Symbol()', 'a symbol'],
    ['{ a: [() => 1] }', 'an object with something else in it'],
    ['new Date()', 'no plain object'],
    ['Promise.resolve(4)', 'a promise (await it)'],
    ['["a", () => 1]', 'an array with something else in it'],
  ];
  for (const [value, type] of oddities) {
    it(`${value} is no setting`, async () => {
      assert.equal(
        await mistake('odd.mjs', `export default {\n  pid: 'a',\n  workers: ${value},\n};`),
        `odd.mjs:3: "workers" is ${type}: expected a string, a number, true, false, or an array or an object of those`,
      );
    });
  }

  it('a hook that only Gunicorn has, with the reason', async () => {
    assert.equal(
      await mistake('odd.mjs', 'export default {\n  pre_exec() {},\n};'),
      'odd.mjs:2: "pre_exec" is a function: only Gunicorn has that: an upgrade starts a new arbiter, with `onStarting`',
    );
    assert.equal(
      await mistake('odd.mjs', 'export default {\n  post_worker_init() {},\n};'),
      'odd.mjs:2: "post_worker_init" is a function: did you mean the hook workerReady?',
    );
  });

  it('a file that is not there, is a directory, or may not be read', async () => {
    assert.equal(await mistakeOf('no.mjs'), 'no.mjs: cannot read the config file: it does not exist');
    mkdirSync(join(directory, 'folder.mjs'));
    assert.equal(await mistakeOf('folder.mjs'), 'folder.mjs: cannot read the config file: it is a directory');
    write('secret.json', '{}');
    chmodSync(join(directory, 'secret.json'), 0);
    if (process.getuid?.() === 0) return;
    assert.equal(
      await mistakeOf('secret.json'),
      'secret.json: cannot read the config file: permission denied',
    );
  });

  it('a mistake in what the file imports, with both names', async () => {
    write('part.mjs', '\n\na b');
    assert.equal(
      await mistake('whole.mjs', 'import "./part.mjs"; export default {}'),
      `whole.mjs: ${join(directory, 'part.mjs')}:3: SyntaxError: Unexpected identifier 'b'`,
    );
    write('part.mjs', 'export function f() {\n\n\n throw new Error("x"); }');
    assert.equal(
      await mistake('whole.mjs', 'import { f } from "./part.mjs";\nexport default { pid: f() }'),
      'whole.mjs:2: x',
    );
    assert.match(
      await mistake('whole.mjs', 'import "./nope.mjs"'),
      /^whole\.mjs: Cannot find module .*nope\.mjs/,
    );
  });

  it('a file for which the system has no process, and the reader goes on', () => {
    write('fine.mjs', 'export default { workers: 2 }');
    const file = new URL('../src/config-file.ts', import.meta.url).href;
    // One descriptor is enough to read a file, and too few to start a process.
    const program = `
      import { closeSync, openSync } from 'node:fs';
      import { readConfigFile } from ${JSON.stringify(file)};
      const read = () => readConfigFile('fine.mjs', { directory: ${JSON.stringify(directory)}, env: {} });
      const taken = [];
      try { for (;;) taken.push(openSync('/dev/null')); } catch {}
      for (const fd of taken.splice(-1)) closeSync(fd);
      const { name, message } = await read().catch((error) => error);
      for (const fd of taken) closeSync(fd);
      console.log(JSON.stringify([name, message, (await read()).values]));`;
    const args = ['--import', 'tsx', '--input-type=module', '--eval', program];
    const { stdout, stderr } = spawnSync(
      'sh',
      ['-c', 'ulimit -n 256 && exec "$0" "$@"', process.execPath, ...args],
      {
        encoding: 'utf8',
      },
    );
    assert.equal(stderr, '');
    assert.deepEqual(JSON.parse(stdout), [
      'UserError',
      `fine.mjs: cannot run the config file: spawn ${process.execPath} EMFILE`,
      { workers: 2 },
    ]);
  });

  it('a file that runs for ever', async () => {
    const message = 'late.mjs: it was not done after 0.5 seconds';
    assert.equal(await mistake('late.mjs', 'for (;;);', 0.5), message);
    const stubborn = 'process.on("SIGTERM", () => {}); await new Promise((done) => setTimeout(done, 10_000))';
    assert.equal(await mistake('late.mjs', stubborn, 0.5), message);
  });

  it('a file that writes where its answer is expected', async () => {
    const text = 'import { writeSync } from "node:fs"; writeSync(3, "{nonsense\\n"); export default {}';
    assert.match(await mistake('loud.mjs', text), /^loud\.mjs: its process ended /);
  });
});
