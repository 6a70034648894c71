/**
 * Fastify 4 and 5 in each of the shapes in which an app may come: each keeps what every app is promised.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { download, events, project } from './support/frameworks.ts';
import { keepsPromises } from './support/promises.ts';

interface Shape {
  name: string;
  /** What the log says that it is, # being the version of Fastify. */
  taken: string;
  source: string;
  exportName?: string;
  args?: string[];
}

const shapes: Shape[] = [
  { name: 'a plugin', taken: 'a Fastify # plugin', source: "export { default } from './fastify.mjs';" },
  {
    name: 'a factory',
    taken: 'a Fastify # instance from a factory',
    source: "export { build } from './fastify.mjs';",
    exportName: 'build',
    args: ['--app-options', '{ "fastify": { "bodyLimit": 65536 } }'],
  },
  {
    name: 'an instance',
    taken: 'a Fastify # instance',
    source: "import { build } from './fastify.mjs'; export default build({});",
  },
  {
    name: 'a promise of an instance',
    taken: 'a Fastify # instance',
    source: `import { build } from './fastify.mjs';
      async function start() {
        const app = build({});
        await app.ready();
        return app;
      }
      export const app = start();`,
    exportName: 'app',
  },
  {
    name: 'an instance that listens',
    taken: 'a Fastify # instance',
    source: `import { build } from './fastify.mjs';
      const app = build({});
      await app.listen({ port: 3000 });
      export default app;`,
  },
  {
    name: 'a script',
    taken: 'a script that listens',
    source: `import { build } from './fastify.mjs';
      const app = build({});
      app.listen({ port: 3000, host: 'localhost' }, (error, address) => {
        if (error) throw error;
        console.log('listening on ' + address);
      });`,
  },
];

/** Version 4 differs from 5 in how a server is made and listens, not in how a promise is awaited. */
const forVersion4 = ['a plugin', 'a factory', 'an instance that listens', 'a script'];

for (const [version, fastify, names] of [
  [5, 'fastify', shapes.map(({ name }) => name)],
  [4, 'fastify4', forVersion4],
] as const) {
  describe(`Fastify ${version}`, { concurrency: 2 }, () => {
    for (const { name, taken, source, exportName, args = [] } of shapes.filter((one) =>
      names.includes(one.name),
    )) {
      it(`as ${name} loses nothing over a reload and a stop`, async (t) => {
        const file = project(t, source, fastify);
        const app = exportName === undefined ? file : `${file}:${exportName}`;
        const server = await keepsPromises(t, { app, args, long: [download, events] });
        assert.match(server.stderr, new RegExp(`serving ${taken.replace('#', String(version))};`));
        if (name === 'a script') assert.match(server.stdout, /^listening on http:\/\/.*:3000$/m);
      });
    }
  });
}
