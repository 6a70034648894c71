/**
 * Whatever stands on the command line, in the environment and in the config file: it makes settings that their own
 * text makes again, or a mistake told in one line. Seeded; run a failure again with FUZZ_SEED=….
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { type Address, formatAddress, parseAddress } from '../src/address.ts';
import { verbNames } from '../src/commands.ts';
import { namedConfigFile } from '../src/config/command-line.ts';
import { lineOfKey } from '../src/config/key-line.ts';
import type { Kind } from '../src/config/kinds.ts';
import { type Loaded, load } from '../src/config/load.ts';
import { help, printConfig } from '../src/config/render.ts';
import { rows } from '../src/config/settings.ts';
import { readConfigFile } from '../src/config-file.ts';
import { UserError } from '../src/errors.ts';
import { temporaryDirectory } from './support/server.ts';

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
fc.configureGlobal({ seed });

/** What `make` returns, or undefined if it tells a mistake as it should; anything else fails. */
function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    expectTold(error);
    return undefined;
  }
}

function expectTold(error: unknown): void {
  assert.ok(error instanceof UserError, error instanceof Error ? error.stack : String(error));
  assert.match(error.message, /^[^\r\n]+$/);
}

const words = fc.constantFrom(
  ...['0', '1', '4', '1.5', '1e3', '-1', '0660', 'true', 'off', 'info', '-', '', 'all', '@a', '::1'],
  ...[':80', '[::1]:0', 'unix:/a', 'unix:', 'unix:///a', 'a,b', '127.0.0.1', '10.0.0.0/8', '*', '/a/b'],
);
/** Text as people and machines write it, with every character there is. */
const text = fc.oneof(
  { weight: 4, arbitrary: words },
  { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
);
/** What a config file can hold: what JSON can, and a few things more. */
const datum = fc.oneof(
  text,
  fc.integer({ min: -1, max: 1e6 }),
  fc.double(),
  fc.boolean(),
  fc.constantFrom(null, undefined),
  fc.array(text, { maxLength: 3 }),
  fc.object({ maxDepth: 2 }),
  fc.anything({ maxDepth: 1 }),
);
const name = fc.constantFrom(
  ...rows.map(([key]) => key as string),
  'app',
  '__proto__',
  'toString',
  '$schema',
);
const flag = fc.constantFrom(
  ...rows.flatMap(([, row]) => [
    `--${row.flag}`,
    `--no-${row.flag}`,
    `-${row.short ?? 'x'}`,
    `--${row.flag.slice(1)}`,
  ]),
  ...['-', '--', '--help', '--version', '--check-config', '--print-config', '--no-wait', '--json', '-k'],
);
const argument = fc.oneof(
  { weight: 3, arbitrary: flag },
  { weight: 3, arbitrary: text },
  fc.constantFrom(...verbNames, 'status'),
  fc.tuple(flag, text).map(([one, value]) => `${one}=${value}`),
  fc.tuple(flag, text).map(([one, value]) => `${one}${value}`),
);
const argv = fc.array(argument, { maxLength: 5 });
const env = fc.dictionary(fc.constantFrom(...rows.map(([, row]) => row.env)), text, { maxKeys: 2 });
const values = fc.dictionary(fc.oneof({ weight: 9, arbitrary: name }, text), datum, { maxKeys: 2 });

describe(`any input at all, with FUZZ_SEED=${seed}`, () => {
  it('makes settings that their own text makes again, or a mistake told in one line', () => {
    let runs = 0;
    let loads = 0;
    const check = (argv: string[], env: Record<string, string>, values: Record<string, unknown>) => {
      runs++;
      const file = { path: 'a.mjs', values, lineOf: () => undefined };
      const loaded = attempt(() =>
        load(argv, env, { cpus: 8 }, Object.keys(values).length ? file : undefined),
      );
      if (!loaded) return;
      loads++;
      expectRoundTrip(loaded);
      const lines = rows.length + (loaded.app === undefined ? 0 : 1);
      assert.equal(printConfig(loaded).split('\n').length, lines);
    };
    const few = { weight: 2, arbitrary: fc.constant({}) };
    fc.assert(fc.property(argv, fc.oneof(few, env), fc.oneof(few, { weight: 1, arbitrary: values }), check), {
      numRuns: 10_000,
    });
    assert.ok(
      loads > runs / 20 && loads < runs * 0.95,
      `only one side was tried: ${loads} of ${runs} loaded`,
    );
  });

  it('names a config file, or none', () => {
    fc.assert(
      fc.property(argv, env, (argv, env) => void namedConfigFile(argv, env)),
      { numRuns: 5000 },
    );
  });

  it('is no terminal that help does not fit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 80, max: 1000 }), fc.boolean(), (columns, everything) => {
        for (const line of help('1.2.3', columns, everything).split('\n')) assert.ok(line.length <= columns);
      }),
    );
  });
});

function expectRoundTrip({ config }: Loaded): void {
  for (const [name, { kind }] of rows) {
    const value = config[name];
    if (value !== undefined) assert.deepEqual(kind.parse(kind.show(value)), value, name);
  }
}

describe(`each kind of value, with FUZZ_SEED=${seed}`, () => {
  /** The value, or undefined if the kind says what it expected. */
  const read = (make: () => unknown): unknown => {
    try {
      return make();
    } catch (error) {
      assert.match((error as Error).message, /^(expected|use) [^\r\n]*$/, (error as Error).stack);
      return undefined;
    }
  };
  const expectShown = (kind: Kind<unknown>, value: unknown) => {
    if (value !== undefined) assert.deepEqual(kind.parse(kind.show(value)), value);
  };

  for (const [key, { kind }] of rows) {
    it(`${key} is read from text and from data, and shown as it is read`, () => {
      fc.assert(
        fc.property(text, (one) =>
          expectShown(
            kind,
            read(() => kind.parse(one)),
          ),
        ),
        { numRuns: 500 },
      );
      fc.assert(
        fc.property(datum, (one) =>
          expectShown(
            kind,
            read(() => kind.accept(one)),
          ),
        ),
        { numRuns: 500 },
      );
    });
  }
});

describe(`addresses, with FUZZ_SEED=${seed}`, () => {
  const near = fc
    .array(
      fc.constantFrom(...['unix:', '/', ':', '[', ']', '%', '@', '.', '80', '65536', 'a', '::', '\0', ' ']),
    )
    .map((parts) => parts.join(''));

  it('are read, or refused with what was expected', () => {
    fc.assert(
      fc.property(fc.oneof(near, text), (one) => {
        let address: Address;
        try {
          address = parseAddress(one);
        } catch (error) {
          assert.match((error as Error).message, /^expected /, (error as Error).stack);
          return;
        }
        assert.deepEqual(parseAddress(formatAddress(address)), address);
      }),
      { numRuns: 10_000 },
    );
  });

  it('are written as they are read', () => {
    const host = fc.oneof(fc.ipV4(), fc.domain(), fc.constantFrom('::1', 'fe80::1%eth0', '2001:db8::1'));
    const port = fc.integer({ min: 0, max: 65_535 });
    const path = fc.array(fc.stringMatching(/^[\w.-]{1,8}$/), { minLength: 1, maxLength: 4 });
    const address: fc.Arbitrary<Address> = fc.oneof(
      fc.record({ kind: fc.constant('tcp' as const), host, port }, { noNullPrototype: true }),
      fc.record(
        { kind: fc.constant('unix' as const), path: path.map((parts) => `/${parts.join('/')}`) },
        { noNullPrototype: true },
      ),
    );
    fc.assert(fc.property(address, (one) => assert.deepEqual(parseAddress(formatAddress(one)), one)));
  });
});

describe(`the text of a config file, with FUZZ_SEED=${seed}`, () => {
  const whole = fc
    .dictionary(name, fc.jsonValue({ maxDepth: 2 }), { minKeys: 1, maxKeys: 4 })
    .map((values) => JSON.stringify(values, null, 2));
  /** JSON in which a few pieces are cut out, put in, or both. */
  const mutated = fc
    .tuple(
      whole,
      fc.array(fc.tuple(fc.nat(), fc.nat(3), fc.oneof(fc.string({ unit: 'binary' }), words)), {
        maxLength: 3,
      }),
    )
    .map(([good, cuts]) =>
      cuts.reduce((all, [at, length, piece]) => {
        const from = at % (all.length + 1);
        return all.slice(0, from) + piece + all.slice(from + length);
      }, good),
    );

  it('gives values whose keys have a line, or a mistake told in one line, if it is JSON', async (t: TestContext) => {
    const directory = temporaryDirectory(t);
    const check = async (text: string) => {
      writeFileSync(join(directory, 'a.json'), text);
      try {
        const { values, lineOf } = await readConfigFile('a.json', { directory, env: {} });
        for (const key of Object.keys(values)) expectLine(text, lineOf(key));
        attempt(() => load([], {}, { cpus: 1 }, { path: 'a.json', values, lineOf }));
      } catch (error) {
        expectTold(error);
        assert.match((error as Error).message, /^a\.json[: ]/);
      }
    };
    await fc.assert(fc.asyncProperty(fc.oneof(mutated, fc.string({ unit: 'binary' })), check), {
      numRuns: 1000,
    });
  });

  it('has the line of each key where that stands', () => {
    const values = fc.dictionary(
      fc.constantFrom('workers', 'bind', 'pid', 'app'),
      fc.object({
        key: fc.constantFrom('workers', 'pid', 'a'),
        maxDepth: 2,
        values: [fc.integer(), fc.string()],
      }),
      { minKeys: 1 },
    );
    const check = (values: Record<string, unknown>) => {
      const text = JSON.stringify(values, null, 2);
      for (const key of Object.keys(values)) {
        const line = text.split('\n').findIndex((one) => one.startsWith(`  "${key}":`)) + 1;
        assert.equal(lineOfKey(text, key), line, key);
      }
    };
    fc.assert(fc.property(values, check), { numRuns: 1000 });
  });

  it('has no key whose search fails, if it is code', () => {
    const pieces = fc.constantFrom(
      ...[
        'workers',
        'pid',
        '"',
        "'",
        '`',
        '\\',
        '/*',
        '*/',
        '//',
        '{',
        '}',
        '[',
        ']',
        ':',
        '=',
        ',',
        '\n',
        ' ',
        '?',
        '$',
      ],
    );
    const code = fc.array(pieces, { maxLength: 40 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(code, fc.string({ unit: 'binary' })), name, (text, key) =>
        expectLine(text, lineOfKey(text, key)),
      ),
      { numRuns: 5000 },
    );
  });
});

function expectLine(text: string, line: number | undefined): void {
  if (line !== undefined) assert.ok(line >= 1 && line <= text.split('\n').length, `${line}`);
}
