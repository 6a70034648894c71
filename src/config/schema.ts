/**
 * What editors know of a config file: the JSON Schema of the JSON form, and the TypeScript interface that `defineConfig`
 * takes. Both are made from the settings table and written by `npm run generate`. Pure.
 */
import type { Schema } from './kinds.ts';
import { rows, type Setting } from './settings.ts';

/** A key of the file as editors show it. */
interface Key {
  name: string;
  schema: Schema;
  /** Whether numbers are meant in octal. */
  isOctal?: boolean | undefined;
  description: string;
  /** As it would stand in the file; absent where there is none, or where it is computed. */
  default?: unknown;
}

const app: Key = {
  name: 'app',
  schema: { type: 'string', minLength: 1 },
  description: 'The app, such as ./dist/app.js. An argument on the command line wins over it.',
};

const keys: readonly Key[] = [
  app,
  ...rows
    .filter(([, row]) => row.inFile !== false)
    .map(([name, row]) => ({
      name,
      schema: row.kind.schema,
      isOctal: row.kind.isOctal,
      description: descriptionOf(row),
      default: defaultOf(row),
    })),
];

function descriptionOf({ help, kind, defaultText }: Setting<unknown>): string {
  const parts = [
    help,
    kind.placeholder === 'SECONDS' && !help.includes('seconds') && 'In seconds.',
    defaultText && `Default: ${defaultText}.`,
  ];
  return parts.filter(Boolean).join(' ');
}

function defaultOf({ kind, default: value, defaultText }: Setting<unknown>): unknown {
  if (defaultText !== undefined || value === undefined) return undefined;
  const text = kind.show(value);
  // A mode as a number would be read as another one by people.
  return String(value) === text ? value : text;
}

/** JSON has no octal numbers: there a mode is text, or 0. */
function asText({ anyOf = [] }: Schema): Schema {
  return { anyOf: [...anyOf.filter(({ type }) => type === 'string'), { const: 0 }] };
}

/** What leaves a key its default. */
function orNull(schema: Schema): object {
  return { anyOf: [...(schema.anyOf ?? [schema]), { type: 'null' }] };
}

/** The JSON Schema of `fasticorn.config.json`, in draft 7, which editors know best. */
export function jsonSchema(): object {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'The config file of fasticorn, as JSON',
    type: 'object',
    properties: {
      $schema: { type: 'string' },
      ...Object.fromEntries(
        keys.map(({ name, schema, isOctal, description, default: value }) => [
          name,
          {
            description,
            ...(value !== undefined && { default: value }),
            ...orNull(isOctal ? asText(schema) : schema),
          },
        ]),
      ),
    },
    additionalProperties: false,
  };
}

/** The source of `file-settings.ts`. */
export function declaration(): string {
  return [
    '/**',
    ' * What a config file may say, as TypeScript. Written by `npm run generate` from the settings table: see `schema.ts`.',
    ' */',
    '',
    '/** The keys of a config file. What is absent, null or undefined has its default. */',
    'export interface FileSettings {',
    ...keys.flatMap(({ name, schema, description, default: value }) => [
      '  /**',
      ...linesOf(description, 110 - 5).map((line) => `   * ${line}`),
      ...(value === undefined ? [] : ['   *', `   * @default ${JSON.stringify(value)}`]),
      '   */',
      `  ${name}?: ${typeOf(schema)} | null | undefined;`,
    ]),
    '}',
    '',
  ].join('\n');
}

function typeOf({ anyOf, enum: words, const: value, type, items }: Schema): string {
  if (anyOf) return [...new Set(anyOf.map(typeOf))].join(' | ');
  if (words) return words.map((word) => `'${word}'`).join(' | ');
  if (type === 'array') return `readonly ${typeOf(items!)}[]`;
  return value !== undefined || type === 'integer' ? 'number' : type!;
}

function linesOf(text: string, room: number): string[] {
  return text.match(new RegExp(`.{1,${room}}(?= |$)`, 'g'))!.map((line) => line.trim());
}
