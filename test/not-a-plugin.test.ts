/**
 * A default export that is taken for a Fastify plugin and is a factory: it would be loaded, and answer 404 to everything.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fasticorn } from './support/command.ts';
import { project } from './support/frameworks.ts';
import { fetchFrom } from './support/http.ts';
import { startServer } from './support/server.ts';

const fastify = "import Fastify from 'fastify';";

const factories: [what: string, source: string][] = [
  ['a function', `${fastify} export default function build(options) { return Fastify(options.fastify); }`],
  [
    'an async function',
    `${fastify} export default async function build(options) { return Fastify(options.fastify); }`,
  ],
  [
    'a function that makes a server',
    `import { createServer } from 'node:http'; export default (handler) => createServer(handler.listener);`,
  ],
];

describe('A factory with a parameter, as the default export, is told from a plugin', () => {
  for (const [what, source] of factories) {
    it(`where it is ${what}: the line says what to do`, async (t) => {
      const { code, stderr } = await fasticorn(t, ['--check-config', project(t, source)]);
      assert.notEqual(code, 0);
      assert.match(stderr, /made a server of its own.*--app-type factory/);
    });
  }
});

for (const [what, source] of [
  ['listener', "export default function (req, res) { res.end('hello'); }"],
  ['async listener', "export default async (request, reply) => { reply.writeHead(200).end('hello'); };"],
]) {
  it(`A ${what} that is taken for a plugin says so`, async (t) => {
    const { code, stderr } = await fasticorn(t, ['--check-config', project(t, source!)]);
    assert.notEqual(code, 0);
    assert.match(stderr, /is it a \(req, res\) listener\? then say --app-type listener/);
  });
}

for (const [what, source] of [
  ['returns', 'function app(app, opts) {'],
  ['promises', 'async function app(app, opts) {'],
]) {
  it(`A plugin that ${what} what it was given is one`, async (t) => {
    const file = project(t, `export default ${source} app.get('/', async () => 'hello'); return app; }`);
    const { socket } = await startServer(t, file, ['-w', '1']);
    assert.equal((await fetchFrom({ socketPath: socket }, '/')).body, 'hello');
  });
}
