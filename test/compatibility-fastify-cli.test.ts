/**
 * What fastify-cli makes and takes: each kind of project that `fastify generate` makes runs unchanged, and a plugin gets
 * from us the options that it gets from `fastify start`.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { installed } from './support/frameworks.ts';
import { fetchFrom, type Target } from './support/http.ts';
import type { Ask } from './support/load.ts';
import { freePort } from './support/port.ts';
import { keepsPromises } from './support/promises.ts';
import { startServer, temporaryDirectory, until } from './support/server.ts';

const run = promisify(execFile);
const bin = (name: string) => join(installed, '.bin', name);

/** Both routes of a generated project, in turn. */
function askGenerated(): Ask {
  let count = 0;
  return async (pool) => {
    const [path, wanted] = count++ % 2 ? ['/example', 'this is an example'] : ['/', '{"root":true}'];
    const { statusCode, body } = await pool.request({ method: 'GET', path: path! });
    const text = await body.text();
    return statusCode === 200 && text === wanted ? undefined : `${path}: ${statusCode} ${text.slice(0, 80)}`;
  };
}

/** Runs `fastify generate`, and has the project find its dependencies here. */
async function generate(t: TestContext, options: readonly string[]): Promise<string> {
  const directory = join(temporaryDirectory(t), 'project');
  await run(bin('fastify'), ['generate', directory, ...options]);
  const modules = join(directory, 'node_modules');
  mkdirSync(modules);
  for (const name of readdirSync(installed)) symlinkSync(join(installed, name), join(modules, name));
  // Not installed here: what it says beyond the project's own tsconfig.json.
  mkdirSync(join(modules, 'fastify-tsconfig'));
  writeFileSync(
    join(modules, 'fastify-tsconfig/tsconfig.json'),
    JSON.stringify({
      compilerOptions: { target: 'es2023', module: 'nodenext', strict: true, skipLibCheck: true },
    }),
  );
  return directory;
}

describe('`fastify generate`', { concurrency: 2 }, () => {
  const kinds: [options: string[], app: string][] = [
    [[], 'app.js'],
    [['--esm'], 'app.js'],
    [['--lang=ts'], 'dist/app.js'],
    [['--lang=ts', '--esm'], 'dist/app.js'],
    // Without its build, where Node strips types.
    ...((process.features as { typescript?: string | false }).typescript
      ? [[['--lang=ts', '--esm'], 'src/app.ts'] as [string[], string]]
      : []),
  ];
  for (const [options, app] of kinds) {
    it(`${options.join(' ')} makes ${app}, which loses nothing over a reload and a stop`, async (t) => {
      const cwd = await generate(t, options);
      // The template is for TypeScript 6, where rootDir has a default.
      if (app.startsWith('dist/')) await run(bin('tsc'), ['--rootDir', 'src', '--types', 'node'], { cwd });
      await keepsPromises(t, { app, options: { cwd }, ask: askGenerated(), methods: ['GET'] });
    });
  }
});

/** What an app answers at /options under `fastify start`. */
async function underFastifyStart(
  t: TestContext,
  file: string,
  args: readonly string[],
): Promise<Record<string, unknown>> {
  const port = await freePort();
  const child = spawn(bin('fastify'), ['start', '--options', '-p', String(port), file, '--', ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  return await answersOptions({ port });
}

async function underFasticorn(
  t: TestContext,
  file: string,
  appArgs: readonly string[],
): Promise<Record<string, unknown>> {
  const { socket } = await startServer(t, file, ['-w', '1'], { appArgs });
  return await answersOptions({ socketPath: socket });
}

async function answersOptions(target: Target): Promise<Record<string, unknown>> {
  let answer: Record<string, unknown> | undefined;
  await until(async () => {
    answer = await fetchFrom(target, '/options').then(
      (one) => one.json(),
      () => undefined,
    );
    return answer;
  }, 'an answer at /options');
  return answer!;
}

describe('A plugin gets what it gets from `fastify start`', { concurrency: 2 }, () => {
  /** Answers what it was given, and whether it got the root instance itself. */
  const body = `{
    const isRoot = Object.getPrototypeOf(app) === Object.prototype;
    app.get('/options', async () => ({ opts, bodyLimit: app.initialConfig.bodyLimit, isRoot }));
  }`;
  const kinds: [what: string, name: string, source: string][] = [
    ['an ES module', 'app.mjs', `export default async function (app, opts) ${body}`],
    [
      'an ES module with options',
      'app.mjs',
      `export const options = { bodyLimit: 4321, own: { deep: [1] } }; export default async function (app, opts) ${body}`,
    ],
    ['a CommonJS module', 'app.cjs', `module.exports = async function (app, opts) ${body}`],
    [
      'a CommonJS module with options',
      'app.cjs',
      `module.exports = async function (app, opts) ${body}; module.exports.options = { bodyLimit: 4321, one: 'file' };`,
    ],
    [
      'what a compiler made of an ES module',
      'app.cjs',
      `Object.defineProperty(exports, '__esModule', { value: true });
       exports.options = { bodyLimit: 4321 }; exports.default = async function (app, opts) ${body};`,
    ],
    [
      'a plugin with a callback',
      'app.cjs',
      `module.exports = function (app, opts, done) { ${body} done(); }`,
    ],
    [
      'one that is not to be encapsulated',
      'app.mjs',
      `export const options = { skipOverride: true }; export default async function (app, opts) ${body}`,
    ],
  ];
  const none: string[] = [];
  const some = [
    ...['--one', '--two', 'foo', '--three=3', '--no-four', '-f', 'five'],
    ...['--six-seven', 'a b', '--one', '--bodyLimit', '5', '--eight', '-9'],
  ];
  for (const [what, name, source] of kinds) {
    for (const rest of [none, some]) {
      it(`${what}${rest === some ? ', with options on the command line' : ''}`, async (t) => {
        const file = join(temporaryDirectory(t), name);
        writeFileSync(file, source);
        const [theirs, ours] = await Promise.all([
          underFastifyStart(t, file, rest),
          underFasticorn(t, file, rest),
        ]);
        assert.deepEqual(ours, theirs);
      });
    }
  }
});
