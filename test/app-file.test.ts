/**
 * Which file `<app>` names.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { findApp } from '../src/app-file.ts';
import { UserError } from '../src/errors.ts';
import { temporaryDirectory } from './support/server.ts';

const FILES: Record<string, string> = {
  'app.mjs': '',
  'odd:name.mjs': '',
  'typed.ts': '',
  'with-main/package.json': '{"main":"lib/start.js"}',
  'with-main/lib/start.js': '',
  'with-exports/package.json': '{"exports":{"import":"./esm.mjs","require":"./cjs.cjs"}}',
  'with-exports/esm.mjs': '',
  'with-index/index.mjs': '',
  'without/readme.txt': '',
  'node_modules/plain/package.json': '{"main":"main.js"}',
  'node_modules/plain/main.js': '',
  'node_modules/modern/package.json':
    '{"exports":{".":{"types":"./x.d.ts","import":"./only.mjs"},"./sub":"./sub.mjs"}}',
  'node_modules/modern/only.mjs': '',
  'node_modules/modern/sub.mjs': '',
  'node_modules/@scope/app/package.json':
    '{"exports":{"import":{"node":"./node.mjs","default":"./web.mjs"}}}',
  'node_modules/@scope/app/node.mjs': '',
};

describe('the app', () => {
  const cases: [spec: string, file: string, exportName?: string][] = [
    ['app.mjs', 'app.mjs'],
    ['./app', 'app.mjs'],
    ['./app.mjs:build', 'app.mjs', 'build'],
    ['app.mjs:default', 'app.mjs'],
    ['app.mjs:', 'app.mjs'],
    ['odd:name.mjs', 'odd:name.mjs'],
    ['odd:name.mjs:build', 'odd:name.mjs', 'build'],
    ['typed', 'typed.ts'],
    ['./with-main', 'with-main/lib/start.js'],
    ['with-main/', 'with-main/lib/start.js'],
    ['with-main:build', 'with-main/lib/start.js', 'build'],
    ['with-exports', 'with-exports/esm.mjs'],
    ['with-index', 'with-index/index.mjs'],
    ['plain', 'node_modules/plain/main.js'],
    ['modern', 'node_modules/modern/only.mjs'],
    ['modern:app', 'node_modules/modern/only.mjs', 'app'],
    ['modern/sub', 'node_modules/modern/sub.mjs'],
    ['@scope/app', 'node_modules/@scope/app/node.mjs'],
  ];
  for (const [spec, file, exportName] of cases) {
    it(`${spec} is ${file}`, (t) => {
      const directory = site(t);
      assert.deepEqual(findApp(spec, directory), { file: join(directory, file), exportName });
    });
  }

  it('. is the directory itself', (t) => {
    const directory = join(site(t), 'with-main');
    assert.equal(findApp('.', directory).file, join(directory, 'lib/start.js'));
  });

  for (const [name, manifest, hint] of [
    [
      'unbuilt',
      '{"main":"dist/app.js"}',
      'names dist/app.js, which is not there: build it, or correct package.json',
    ],
    ['exporting', '{"exports":"./lib.mjs"}', 'names ./lib.mjs, which is not there'],
    [
      'nameless',
      '{}',
      'has neither an index.js nor a package.json that names a file: name the file of the app',
    ],
  ] as const) {
    it(`is not found in a directory, and what is missing there is said: ${manifest}`, (t) => {
      const directory = site(t);
      mkdirSync(join(directory, name));
      writeFileSync(join(directory, name, 'package.json'), manifest);
      for (const spec of [`./${name}`, `./${name}:build`])
        assert.throws(
          () => findApp(spec, directory),
          (error: Error) => error instanceof UserError && error.message.includes(hint),
        );
    });
  }

  for (const spec of [
    'absent.mjs',
    'without',
    'node:fs',
    'fs',
    'modern/absent',
    '@scope',
    '',
    ':',
    'absent:name',
  ]) {
    it(`${JSON.stringify(spec)} is a mistake, told in one line`, (t) => {
      const directory = site(t);
      assert.throws(
        () => findApp(spec, directory),
        (error: Error) =>
          error instanceof UserError && /^[^\n]*there is no such file or package/.test(error.message),
      );
    });
  }
});

function site(t: Parameters<typeof temporaryDirectory>[0]): string {
  const directory = temporaryDirectory(t);
  for (const [name, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  return directory;
}
