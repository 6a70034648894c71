/**
 * Node's flags for the workers: how they are read, that workers have them, and which are refused.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import {
  impossibleFlag,
  limitsHeap,
  splitFlags,
  stripsTypes,
  typeScriptLoaderIn,
} from '../src/config/node-flags.ts';
import { fasticorn } from './support/command.ts';
import { fetchFrom } from './support/http.ts';
import { FILE_DECIDES, Site } from './support/site.ts';

const APP = `
  import { getHeapStatistics } from 'node:v8';
  export default async function (app) {
    app.get('/version', async () => [process.execArgv.join(' '), typeof gc, globalThis.preloaded].join('|'));
    app.get('/heap', async () => String(getHeapStatistics().heap_size_limit / 2 ** 20));
  }`;

describe('a string of flags', () => {
  const examples: Record<string, string[]> = {
    '--a --b=1': ['--a', '--b=1'],
    '  --a   --b ': ['--a', '--b'],
    '--require "./a b.js"': ['--require', './a b.js'],
    '--require="./a b.js"': ['--require=./a b.js'],
    '--a="\\"q\\\\"': ['--a="q\\'],
    '--a=\\x': ['--a=\\x'],
    "--a='b c'": ["--a='b", "c'"],
    '""': [],
  };
  for (const [text, words] of Object.entries(examples)) {
    it(`${text} is split into ${JSON.stringify(words)}, as Node splits NODE_OPTIONS`, () => {
      assert.deepEqual(splitFlags(text), words);
    });
  }

  it('is split like that by Node itself', () => {
    // A title is a flag with any value, and Node says what it has understood.
    for (const value of ['"a b"', '"a \\"b\\" \\\\c"', 'a\\x', '"a"b"c d"']) {
      const env = { ...process.env, NODE_OPTIONS: `--title=${value} --no-warnings` };
      const { stdout } = spawnSync(process.execPath, ['-p', 'process.title'], { env, encoding: 'utf8' });
      assert.equal(`--title=${stdout.trim()}`, splitFlags(env.NODE_OPTIONS)[0]);
    }
  });

  it('is wrong if a quotation mark has no end', () => {
    assert.throws(
      () => splitFlags('--a="b'),
      /^Error: expected Node flags, but a quotation mark has no end$/,
    );
  });

  for (const flag of [
    '-e',
    '-pe',
    '-i',
    '--',
    '-',
    '--test',
    '--watch',
    '--inspect-brk=1',
    '--print',
    '-v',
  ]) {
    it(`may not have ${flag}`, () => assert.equal(impossibleFlag(['--expose-gc', flag]), flag));
  }

  it('may have what workers can run with', () => {
    const flags = [
      '-r',
      './x',
      '-C',
      'dev',
      '--expose_gc',
      '--inspect',
      '--test-only',
      '--watchdog',
      '--prof',
    ];
    assert.equal(impossibleFlag(flags), undefined);
  });

  it('is seen to decide the size of the heap, to strip types, or to name a loader', () => {
    assert.ok(limitsHeap(['--max_old_space_size=1']));
    assert.ok(limitsHeap(['--max-old-space-size-percentage=50']));
    assert.ok(limitsHeap(['--max-heap-size=5']));
    assert.ok(limitsHeap(['-max-old-space-size=5']));
    assert.ok(!limitsHeap(['--max-semi-space-size=5']));
    assert.ok(stripsTypes(['--experimental-strip-types']));
    assert.ok(!stripsTypes(['--no-experimental-strip-types']));
    assert.equal(typeScriptLoaderIn(['--import', 'tsx']), 'tsx');
    assert.equal(typeScriptLoaderIn(['--import=file:///a/node_modules/tsx/dist/loader.mjs']), 'tsx');
    assert.equal(typeScriptLoaderIn(['-r', 'ts-node/register']), 'ts-node');
    assert.equal(typeScriptLoaderIn(['--import=/home/tsx/preload.mjs', './tsx.mjs']), undefined);
  });
});

describe('--node-options', () => {
  it('gives each worker its flags, those of V8 as well, as arguments', async (t) => {
    const site = new Site(t);
    site.write('app.mjs', APP);
    site.write('a b.cjs', 'globalThis.preloaded = true;');
    const server = await site.start([
      '--node-options',
      '--expose-gc --stack-size=900 --require "./a b.cjs" --max-old-space-size=300',
    ]);
    const [flags = '', ...rest] = (await site.version()).split('|');
    assert.match(flags, /^--expose-gc --stack-size=900 --require \.\/a b\.cjs --max-old-space-size=300 /);
    assert.deepEqual(rest, ['function', 'true']);
    const { body } = await fetchFrom({ socketPath: site.socket }, '/heap');
    assert.ok(Number(body) >= 300 && Number(body) < 500, body);
    assert.equal(await server.stop(), 0);
  });

  it('is applied by a reload, and a flag that Node does not know changes nothing', async (t) => {
    const site = new Site(t);
    site.write('app.mjs', APP);
    const configure = (nodeOptions?: string) =>
      site.write('fasticorn.config.json', JSON.stringify({ workers: 1, nodeOptions }));
    configure();
    await site.start([], { env: FILE_DECIDES });
    assert.match(await site.version(), /\|undefined\|$/);
    configure('--expose-gc');
    assert.equal((await site.ask('reload')).code, 0);
    assert.match(await site.version(), /\|function\|$/);
    configure('--expose-gx');
    const { code, stderr } = await site.ask('reload');
    assert.notEqual(code, 0);
    assert.match(
      stderr,
      /fasticorn\.config\.json:1: nodeOptions: "--expose-gx" is not valid: Node does not take these flags: bad option: --expose-gx\n/,
    );
    assert.match(await site.version(), /\|function\|$/);
  });

  for (const [flags, says] of Object.entries({
    '--no-such-flag': /bad option: --no-such-flag$/,
    '--max-old-space-size=much': /illegal value for flag --max-old-space-size=much/,
    'app.mjs': /a word that is no flag is among them$/,
    '--expose-gc app.mjs': /a word that is no flag is among them$/,
    '--require': /--require requires an argument$/,
    '--test': /expected Node flags that a worker can run with, which --test is not$/,
    '--import "./x': /a quotation mark has no end$/,
  })) {
    it(`refuses ${flags} before anything starts`, async (t) => {
      const site = new Site(t);
      site.write('app.mjs', 'throw new Error("it has been run");');
      const args = ['-b', `unix:${site.socket}`, '--node-options', flags, './app.mjs'];
      const { code, stdout, stderr } = await fasticorn(t, args, { cwd: site.directory });
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr.trimEnd(), /^fasticorn: --node-options: .*$/);
      assert.match(stderr.trimEnd(), says);
    });
  }
});
