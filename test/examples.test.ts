/**
 * The apps in examples/: each is served by the command that its first line names, and loses nothing over a reload and a
 * stop.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { installed } from './support/frameworks.ts';
import type { Ask } from './support/load.ts';
import { keepsPromises } from './support/promises.ts';
import { temporaryDirectory } from './support/server.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const examples = join(root, 'examples');

/** Every example but tRPC's has GET /hello/:name and POST /echo. */
const asJson: Ask = async (pool, method) => {
  const name = randomBytes(8).toString('hex');
  const sent = method === 'GET' ? { hello: name } : { name };
  const { statusCode, body } =
    method === 'GET'
      ? await pool.request({ method, path: `/hello/${name}` })
      : await pool.request({
          ...{ method, path: '/echo', body: JSON.stringify(sent) },
          headers: { 'content-type': 'application/json' },
        });
  return problem(`${method}: ${statusCode} ${await body.text()}`, `${method}: 200 ${JSON.stringify(sent)}`);
};

const asTrpc: Ask = async (pool, method) => {
  const name = randomBytes(8).toString('hex');
  const data = method === 'GET' ? { hello: name } : { name };
  const { statusCode, body } =
    method === 'GET'
      ? await pool.request({ method, path: `/hello?input="${name}"` })
      : await pool.request({
          ...{ method, path: '/echo', body: JSON.stringify(data) },
          headers: { 'content-type': 'application/json' },
        });
  const wanted = `${method}: 200 ${JSON.stringify({ result: { data } })}`;
  return problem(`${method}: ${statusCode} ${await body.text()}`, wanted);
};

function problem(got: string, wanted: string): string | undefined {
  return got === wanted ? undefined : `${got.slice(0, 120)}, not ${wanted}`;
}

/** A copy beside what it needs, so that a build leaves nothing in the original. */
function copyOf(t: TestContext, example: string): string {
  const directory = temporaryDirectory(t);
  symlinkSync(installed, join(directory, 'node_modules'));
  cpSync(join(examples, example), join(directory, example), {
    recursive: true,
    filter: (path) => !/\/(dist|node_modules)$/.test(path),
  });
  // Whose own name resolves only within this repository.
  mkdirSync(join(directory, example, 'node_modules'));
  symlinkSync(root, join(directory, example, 'node_modules/fasticorn'));
  return join(directory, example);
}

/** The script of an example's package.json. */
function scriptOf(directory: string, name: string): string {
  const { scripts } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
  return scripts[name] ?? '';
}

/** `fasticorn [args…] app [-- appArgs…]`; where a config file names the app, its name stands for it. */
function commandOf(script: string): { app: string; args: string[]; appArgs: string[] } {
  const words = script.split(' ');
  assert.equal(words[0], 'fasticorn');
  const end = words.includes('--') ? words.indexOf('--') : words.length;
  return { app: words[end - 1]!, args: words.slice(1, end - 1), appArgs: words.slice(end + 1) };
}

const served = readdirSync(examples).filter((name) => existsSync(join(examples, name, 'package.json')));

describe('The example', { concurrency: 2 }, () => {
  it('is in the list of the README, and says in its first line how to serve it', () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8');
    const listed = [...readme.matchAll(/\]\(examples\/([\w-]+)\)/g)].map(([, name]) => name);
    assert.deepEqual([...new Set(listed)].sort(), readdirSync(examples).sort());
    for (const name of served) {
      const lines = readdirSync(join(examples, name), { recursive: true, encoding: 'utf8' })
        .filter((file) => /\.[jt]s$/.test(file))
        .map((file) => readFileSync(join(examples, name, file), 'utf8').split('\n')[0]!);
      const start = scriptOf(join(examples, name), 'start');
      assert.ok(
        lines.some((line) => line.endsWith(start)),
        `${name}: no first line ends with ${start}`,
      );
    }
  });

  for (const name of served) {
    it(`${name} loses nothing over a reload and a stop`, async (t) => {
      const cwd = copyOf(t, name);
      const [builder, ...options] = scriptOf(cwd, 'build').split(' ');
      if (builder) await promisify(execFile)(join(installed, '.bin', builder), options, { cwd });
      const { app, args, appArgs } = commandOf(scriptOf(cwd, 'start'));
      await keepsPromises(t, {
        app,
        args,
        options: { cwd, appArgs },
        ask: name === 'trpc' ? asTrpc : asJson,
      });
    });
  }
});
