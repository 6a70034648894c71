/**
 * What an editor knows of a config file, by `defineConfig` and by the JSON Schema, is what the file may say.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { type ConfigFile, load } from '../src/config/load.ts';
import { rows, type SettingName, settings } from '../src/config/settings.ts';
import { readConfigFile } from '../src/config-file.ts';
import { type ConfigExport, defineConfig } from '../src/index.ts';
import { temporaryDirectory } from './support/server.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** A directory in which fasticorn, as it was built last, and what runs TypeScript are installed. */
function project(t: TestContext): string {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, 'node_modules'));
  symlinkSync(root, join(directory, 'node_modules/fasticorn'));
  symlinkSync(join(root, 'node_modules/tsx'), join(directory, 'node_modules/tsx'));
  return directory;
}

describe('defineConfig', () => {
  it('is to be imported by every form of the file', async (t) => {
    const directory = project(t);
    const files = {
      'a.mjs': "import { defineConfig } from 'fasticorn';\nexport default defineConfig({ workers: 2 });",
      'a.cjs':
        "const { defineConfig } = require('fasticorn');\nmodule.exports = defineConfig({ workers: 2 });",
      'a.mts':
        "import { defineConfig, type FasticornConfig } from 'fasticorn';\n" +
        'const config: FasticornConfig = { workers: 2 };\nexport default defineConfig(async () => config);',
      'a.ts':
        "import { defineConfig } from 'fasticorn';\nexport default defineConfig(() => ({ workers: 2 as number }));",
    };
    for (const [path, text] of Object.entries(files)) {
      writeFileSync(join(directory, path), text);
      const { values } = await readConfigFile(path, { directory, env: { PATH: process.env.PATH } });
      assert.deepEqual(values, { workers: 2 }, path);
    }
  });

  it('works as the README shows it', async (t) => {
    const directory = project(t);
    const readme = readFileSync(join(root, 'README.md'), 'utf8');
    const [, path = '', text = ''] = /```ts\n\/\/ (fasticorn\.config\.ts)\n([^`]*)```/.exec(readme) ?? [];
    writeFileSync(join(directory, path), text);
    const file = await readConfigFile(path, { directory, env: { PATH: process.env.PATH } });
    const { app, config } = load([], {}, { cpus: 1 }, file);
    assert.deepEqual([app, config.workers, config.bind.length], ['./dist/app.js', 4, 2]);
  });

  it('costs next to nothing: with it comes one module that needs no other', () => {
    const imports = (file: string) =>
      [
        ...readFileSync(join(root, 'dist', file), 'utf8').matchAll(
          /\b(?:from|import|require)\b\s*\(?["']([^"']+)["']/g,
        ),
      ].map(([, name]) => name);
    const [one, ...more] = imports('index.js');
    assert.deepEqual([imports(one!), more], [[], []]);
  });

  it('returns what it is given', () => {
    for (const config of [{ workers: 2 }, Promise.resolve({}), () => ({})])
      assert.equal(defineConfig(config), config);
  });

  it('has a type that takes every form of a value, and no other', () => {
    const right: ConfigExport[] = [
      defineConfig({ workers: 4, timeout: '30', keepAlive: 0.5, pretty: 'off', takeover: true }),
      defineConfig({ bind: 'unix:/a', socketMode: 0o660, socketGroup: 101, logLevel: 'warn' }),
      defineConfig({ bind: ['unix:/a', ':80'], socketMode: '0660', app: './a.js', pid: undefined }),
      defineConfig(() => ({ workers: 4, logLevel: 'warn' })),
      defineConfig(async () => ({ workers: 4, bind: ['unix:/a'] })),
      defineConfig(Promise.resolve({ workers: 4 })),
      defineConfig({ whenReady: ({ addresses, took }) => `${addresses[0]!} ${took.toFixed()}` }),
      defineConfig({
        async workerExit({ code, signal, expected }) {
          if (!expected) await Promise.resolve(signal?.toLowerCase() ?? code!.toFixed());
        },
      }),
    ];
    const wrong: ConfigExport[] = [
      // @ts-expect-error: there is no such key
      defineConfig({ wrokers: 4 }),
      // @ts-expect-error: this is for the command line only
      defineConfig({ config: 'a.mjs' }),
      // @ts-expect-error: no number
      defineConfig({ workers: true }),
      // @ts-expect-error: no level
      defineConfig({ logLevel: 'loud' }),
      // @ts-expect-error: an address is a text
      defineConfig({ bind: 80 }),
      // @ts-expect-error: no number either
      defineConfig(async () => ({ workers: [4] })),
      // @ts-expect-error: no hook
      defineConfig({ onExitt() {} }),
      // @ts-expect-error: its event says nothing of a worker
      defineConfig({ onExit: ({ worker }) => worker }),
    ];
    assert.deepEqual([right.length, wrong.length], [8, 8]);
  });
});

interface Validate {
  (values: unknown): boolean;
  errors?: unknown;
}

/** A validator that Fastify brings along. */
function validator(): Validate {
  const fromFastify = createRequire(createRequire(import.meta.url).resolve('fastify'));
  const { default: Ajv } = createRequire(fromFastify.resolve('@fastify/ajv-compiler'))('ajv');
  const schema = JSON.parse(readFileSync(join(root, 'dist/config.schema.json'), 'utf8'));
  return new Ajv({ strict: true, allowUnionTypes: true }).compile(schema);
}

describe('the JSON Schema', () => {
  const validate = validator();
  const file = (values: Record<string, unknown>): ConfigFile => ({
    ...{ path: 'fasticorn.config.json', values, lineOf: () => undefined },
  });
  const accepts = (name: SettingName, value: unknown) => {
    const row = rows.find(([one]) => one === name)![1];
    try {
      row.kind.accept(value);
      return true;
    } catch {
      return false;
    }
  };

  it('takes a whole file, and says where it is', () => {
    assert.ok(
      validate({
        $schema: './node_modules/fasticorn/dist/config.schema.json',
        app: './a.js',
        bind: ['unix:/a', ':80'],
        workers: 4,
        timeout: 0,
        keepAlive: '1.5',
        socketMode: '0660',
        pretty: false,
        logLevel: 'warn',
      }),
      JSON.stringify(validate.errors),
    );
  });

  it('takes null for any key, which leaves its default, and so does TypeScript', () => {
    const names = rows.filter(([, row]) => row.inFile !== false).map(([name]) => name);
    const nothing = Object.fromEntries(['app', ...names].map((name) => [name, null]));
    assert.ok(validate(nothing), JSON.stringify(validate.errors));
    assert.deepEqual(load([], {}, { cpus: 1 }, file(nothing)).config, load([], {}, { cpus: 1 }).config);
    defineConfig({ envFile: null, workers: null });
  });

  it('refuses unknown keys, wrong types, and what is out of range', () => {
    const wrong = [
      { wrokers: 4 },
      { config: 'a.json' },
      { workers: 0 },
      { workers: 1.5 },
      { workers: 1025 },
      { workers: 'many' },
      { timeout: 0.5 },
      { keepAlive: 0 },
      { logLevel: 'loud' },
      { socketMode: '999' },
      { bind: [] },
      { bind: 80 },
      { app: '' },
      { pretty: 1 },
    ];
    for (const values of wrong) assert.ok(!validate(values), JSON.stringify(values));
  });

  it('says every key, with a description, and its default as the file would have it', () => {
    const { properties } = JSON.parse(readFileSync(join(root, 'dist/config.schema.json'), 'utf8'));
    const names = rows.filter(([, row]) => row.inFile !== false).map(([name]) => name as string);
    assert.deepEqual(Object.keys(properties), ['$schema', 'app', ...names]);
    for (const [name, { description, default: value }] of Object.entries(properties).slice(1) as [
      string,
      { description: string; default?: unknown },
    ][]) {
      assert.match(description, /^[A-Z].*\.$/, name);
      if (value === undefined) continue;
      assert.ok(validate({ [name]: value }), `${name}: ${value}`);
      const { config } = load([], {}, { cpus: 1 }, file({ [name]: value }));
      assert.deepEqual(config, load([], {}, { cpus: 1 }).config, name);
    }
  });

  it('takes whatever the file may say, so that no editor complains about what is right', () => {
    const values = fc.oneof(
      fc.integer({ min: -1, max: 70_000 }),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.boolean(),
      fc.constantFrom('0', '4', '1.5', '0660', 'off', 'true', 'info', 'silent', '-', 'unix:/a', ':80'),
      fc.string(),
      fc.array(fc.constantFrom('unix:/a', ':80', '0', 'x')),
    );
    const names = rows.filter(([, row]) => row.inFile !== false).map(([name]) => name);
    /** Right in JavaScript only. */
    const isOctalNumber = (name: SettingName, value: unknown) =>
      settings[name].kind.isOctal === true && typeof value === 'number' && value !== 0;
    let taken = 0;
    const check = (name: SettingName, value: unknown) => {
      if (!accepts(name, value) || isOctalNumber(name, value)) return;
      taken++;
      assert.ok(validate({ [name]: value }), `${name}: ${JSON.stringify(value)}`);
    };
    fc.assert(fc.property(fc.constantFrom(...names), values, check), { numRuns: 5000 });
    assert.ok(taken > 500, `only ${taken} values were right`);
  });
});

describe('$schema', () => {
  it('may stand in JSON, and only there', async (t) => {
    const directory = temporaryDirectory(t);
    const read = async (path: string, text: string) => {
      writeFileSync(join(directory, path), text);
      return readConfigFile(path, { directory, env: {} });
    };
    const { values } = await read('a.json', '{ "$schema": "./x.json", "workers": 2 }');
    assert.deepEqual(values, { workers: 2 });
    const module = await read('a.mjs', 'export default { $schema: "./x.json" }');
    assert.throws(() => load([], {}, { cpus: 1 }, module), /a\.mjs:1: unknown key "\$schema"/);
  });
});
