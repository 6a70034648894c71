/**
 * What an app may export, and how it is told apart.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fasticorn } from './support/command.ts';
import { fetchFrom } from './support/http.ts';
import { app, type Server, startServer, temporaryDirectory, until } from './support/server.ts';

const shapes = app('shapes.mjs');
const answer = async (server: Server) => (await fetchFrom({ socketPath: server.socket }, '/')).json();

describe('an app is', () => {
  const cases: [what: string, args: string[], shape: string, said: string][] = [
    ['a plugin, by default', [shapes], 'plugin', 'a Fastify 5 plugin'],
    [
      'a factory, if it is a named function',
      [`${shapes}:build`],
      'factory',
      'a Fastify 5 instance from a factory',
    ],
    ['an async factory', [`${shapes}:buildLater`], 'factory', 'a Fastify 5 instance from a factory'],
    ['an instance', [`${shapes}:instance`], 'factory', 'a Fastify 5 instance'],
    ['a promise of an instance', [`${shapes}:promised`], 'factory', 'a Fastify 5 instance'],
    [
      'a listener, if that is said',
      ['--app-type', 'listener', `${shapes}:handler`],
      'listener',
      'a (req, res) listener',
    ],
    ['what a factory makes', [`${shapes}:makeHandler`], 'listener', 'a (req, res) listener from a factory'],
    ['a server', [`${shapes}:server`], 'listener', 'an HTTP server'],
  ];
  for (const [what, args, shape, said] of cases) {
    it(`${what}: and the log says so`, async (t) => {
      const server = await startServer(t, args.at(-1)!, ['-w', '1', ...args.slice(0, -1)]);
      assert.equal((await answer(server)).shape, shape);
      await until(() => server.log().some(({ msg }) => msg.includes(`serving ${said};`)), said);
      assert.equal(await server.stop(), 0);
    });
  }

  for (const name of ['instance', 'server']) {
    it(`the same when it listens by itself later on: ${name}`, async (t) => {
      const server = await startServer(t, `${shapes}:${name}`, ['-w', '1'], { env: { LISTENS_LATER: '1' } });
      await until(() => server.stderr.includes('listens later'), 'its listen()');
      assert.equal((await fetchFrom({ socketPath: server.socket }, '/')).status, 200);
      assert.equal(await server.stop(), 0);
      assert.doesNotMatch(server.stderr, /"level":[456]0/);
    });
  }

  const mistakes: [args: string[], reason: RegExp][] = [
    [
      [`${shapes}:absent`],
      /has no export by the name of "absent"; it exports asPlugin, build, buildLater, handler,/,
    ],
    [
      ['--app-type', 'plugin', `${shapes}:instance`],
      /--app-type plugin expects a function, but it exports a/,
    ],
    [
      ['--app-type', 'instance', `${shapes}:build`],
      /--app-type instance expects a Fastify or a server, but it exports a function/,
    ],
    [
      [`${shapes}:nothing`],
      /the function returned undefined, where .* was expected; if it is a Fastify plugin/,
    ],
    [
      [`${shapes}:asPlugin`],
      /app\.get is not a function \(called as a factory; if it is another function, say --app-type plugin or listener\)/,
    ],
    [
      ['--app-type', 'plugin', `${shapes}:handler`],
      /is it a \(req, res\) listener\? then say --app-type listener/,
    ],
  ];
  for (const [args, reason] of mistakes) {
    it(`refused where it is none: ${args.slice(0, -1).join(' ')} ${args.at(-1)!.split(':')[1]}`, async (t) => {
      const { code, stderr } = await fasticorn(t, ['--check-config', ...args]);
      assert.equal(code, 4);
      assert.match(stderr, reason);
    });
  }
});

describe('options', () => {
  it('of a plugin are what follows --, over --app-options', async (t) => {
    const server = await startServer(t, shapes, ['-w', '1', '--app-options', '{"a":1,"two":2}'], {
      appArgs: ['--one', '--two', 'foo', '--some-key=bar'],
    });
    assert.deepEqual((await answer(server)).options, { a: 1, one: true, two: 'foo', someKey: 'bar' });
  });

  it('of a plugin have a prefix that Fastify knows', async (t) => {
    const server = await startServer(t, shapes, ['-w', '1'], { appArgs: ['--prefix', '/api'] });
    assert.equal((await fetchFrom({ socketPath: server.socket }, '/api/')).status, 200);
    assert.equal((await fetchFrom({ socketPath: server.socket }, '/')).status, 404);
  });

  it('of a factory are its argument: JSON, or a file with it, which a reload reads again', async (t) => {
    const directory = temporaryDirectory(t);
    const file = join(directory, 'options.json');
    writeFileSync(file, '{"color":"red"}');
    const server = await startServer(t, `${shapes}:build`, [
      '-w',
      '1',
      '--app-options',
      'options.json',
      '--chdir',
      directory,
    ]);
    assert.deepEqual((await answer(server)).options, { color: 'red' });
    writeFileSync(file, '{"color":"blue"}');
    await fasticorn(t, ['--bind', `unix:${server.socket}`, 'reload']);
    assert.deepEqual((await answer(server)).options, { color: 'blue' });
    writeFileSync(file, '[1]');
    const { code, stderr } = await fasticorn(t, ['--bind', `unix:${server.socket}`, 'reload']);
    assert.equal(code, 1);
    assert.match(stderr, /--app-options \S*options\.json: expected JSON of an object/);
    assert.deepEqual((await answer(server)).options, { color: 'blue' });
  });

  it('that are no object are refused at once', async (t) => {
    const { code, stderr } = await fasticorn(t, ['--app-options', '{"a":', shapes]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^fasticorn: --app-options: "\{\\"a\\":" is not valid: expected JSON of an object, .*\n$/,
    );
  });
});
