/**
 * The settings as people read them: `--help`, `--print-config` and the README's reference. Pure; every text comes
 * without a last newline. What there is to show is in `settings.ts` and `commands.ts`.
 */
import { pages, type VerbName, verbNames, verbs } from '../commands.ts';
import { type HookName, hookNames, hooks } from '../events.ts';
import { gunicornSettings } from './gunicorn.ts';
import type { Loaded, Origin } from './load.ts';
import { placeInFile } from './origin.ts';
import {
  type Action,
  type Applies,
  actions,
  isSwitch,
  rows,
  type Setting,
  status,
  verbFlags,
} from './settings.ts';

interface Group {
  title: string;
  entries: Entry[];
}

/** What stands on the left, and the paragraphs beside it, in pieces that stay whole where that is possible. */
interface Entry {
  left: string;
  paragraphs: string[][];
}

const USAGE = 'Usage: fasticorn [options] <app>\n       fasticorn [options] <command>';

const sections = [...new Set(rows.map(([, row]) => row.section))];

/** What `fasticorn` says when it is called without an app. */
export function usage(): string {
  return [
    USAGE,
    '',
    '<app> is the file of an app, such as ./dist/app.js; <command> is for a running server.',
    'fasticorn dev <app> reloads on changes; fasticorn --help shows the options.',
  ].join('\n');
}

/** The widest and the narrowest text of `--help`, and the least room for descriptions beside the flags. */
const [WIDEST, NARROWEST, BESIDE] = [120, 40, 40];

/**
 * The text of `--help` for a terminal so many columns wide, 0 if that is not known: the options that one needs first,
 * or everything. Descriptions stand beside the flags, or below them where there is too little room.
 */
export function help(version: string, columns: number, everything = false): string {
  const groups = everything ? fullGroups() : shortGroups();
  const width = Math.min(Math.max(columns || 80, NARROWEST), WIDEST);
  const column = 2 + Math.max(...groups.flatMap(({ entries }) => entries.map(({ left }) => left.length)));
  const isBeside = width - column >= BESIDE;
  const indent = isBeside ? column : 10;
  const room = width - indent;
  const lines = [`fasticorn ${version}: a pre-fork application server for Fastify`, '', USAGE];
  for (const { title, entries } of groups) {
    lines.push('', `${title}:`);
    for (const { left, paragraphs } of entries) {
      const right = paragraphs.flatMap((pieces) => wrap(pieces, room));
      if (!isBeside) lines.push(left);
      lines.push(...right.map((line, index) => (isBeside && index === 0 ? left : '').padEnd(indent) + line));
    }
  }
  lines.push(
    '',
    'Examples:',
    '  fasticorn --bind unix:/run/app/app.sock --workers 4 ./dist/app.js',
    '  WEB_CONCURRENCY=4 fasticorn --bind 127.0.0.1:8000 ./dist/app.js',
    '  fasticorn --bind unix:/run/app/app.sock reload',
    '  fasticorn dev ./dist/app.js',
  );
  return lines.join('\n');
}

function shortGroups(): Group[] {
  return [
    {
      title: `Options (all: fasticorn --help ${actions.help.argument})`,
      entries: rows.filter(([, row]) => row.common).map(([, row]) => briefEntry(row)),
    },
    { title: 'Commands for a running server, found by the same options', entries: commandEntries() },
    { title: 'Instead of serving', entries: actionEntries() },
  ];
}

function fullGroups(): Group[] {
  return [
    ...sections.map((section) => ({
      title: section,
      entries: rows.filter(([, row]) => row.section === section).map(([, row]) => fullEntry(row)),
    })),
    {
      title: 'Commands for a running server, found by the same options',
      entries: [...commandEntries(), ...commandFlagEntries()],
    },
    { title: 'Instead of serving', entries: actionEntries() },
  ];
}

/** The first sentence and the default, in one paragraph. */
function briefEntry(row: Setting<unknown>): Entry {
  return { left: leftOf(row), paragraphs: [[...firstSentence(row.help).split(' '), defaultNote(row)]] };
}

function fullEntry(row: Setting<unknown>): Entry {
  return {
    left: leftOf(row),
    paragraphs: [
      row.help.split(' '),
      [defaultNote(row), ...otherDefaults(row).map((one) => `[${one}]`), `[env: ${row.env}]`],
    ],
  };
}

function leftOf(row: Setting<unknown>): string {
  return `${shortColumn(row.short)}${longFlag(row)}`;
}

function defaultNote(row: Setting<unknown>): string {
  return `[default: ${defaultText(row)}]`;
}

function actionEntries(): Entry[] {
  return Object.values(actions).map(({ flag, short, argument, help }: Action) => ({
    left: `${shortColumn(short)}--${flag}${argument ? ` [${argument}]` : ''}`,
    paragraphs: [help.split(' ')],
  }));
}

function commandEntries(): Entry[] {
  const verbEntries = verbNames.map((name) => {
    return { left: `  ${withArgument(name)}`, paragraphs: [firstSentence(verbs[name].help).split(' ')] };
  });
  return [...verbEntries, { left: `  ${status.name}`, paragraphs: [status.help.split(' ')] }];
}

function commandFlagEntries(): Entry[] {
  return Object.values(verbFlags).map(({ flag, of, help }) => ({
    left: `${shortColumn(undefined)}--${flag}`,
    paragraphs: [help.split(' '), [`[of: ${of.join(', ')}]`]],
  }));
}

function firstSentence(text: string): string {
  return /^.*?\.(?=\s|$)/.exec(text)?.[0] ?? text;
}

/** Every setting as text, by its key, and where it came from. */
export function shown({ config, origins }: Loaded): Record<string, { value: string | null; source: string }> {
  return Object.fromEntries(
    rows.map(([name, row]) => [
      name,
      {
        value: config[name] === undefined ? null : row.kind.show(config[name]),
        source: originText(row, origins[name]),
      },
    ]),
  );
}

/** The text of `--print-config`: a line for the app and each setting, with its value and where that came from. */
export function printConfig(loaded: Loaded): string {
  const texts = shown(loaded);
  const { app, appSource = '' } = loaded;
  const lines = [
    ...(app === undefined ? [] : [{ flag: 'app', value: onOneLine(app), origin: appSource }]),
    ...rows.map(([name, { flag }]) => {
      const { value, source } = texts[name]!;
      return { flag, value: value === null ? '' : onOneLine(value), origin: source };
    }),
  ];
  const flagWidth = Math.max(...lines.map(({ flag }) => flag.length));
  const valueWidth = Math.max(...lines.map(({ value }) => value.length));
  return lines
    .map(({ flag, value, origin }) => `${flag.padEnd(flagWidth)} = ${value.padEnd(valueWidth)}  # ${origin}`)
    .join('\n');
}

/** The reference of the settings in Markdown: a table for each section. */
export function markdownReference(): string {
  const head = ['Flag', 'Variable', 'Key in the file', 'Default', 'Reload', 'Meaning'];
  return sections
    .map((section) => {
      const cells = rows
        .filter(([, row]) => row.section === section)
        .map(([name, row]) => [
          [...(row.short ? [`-${row.short}`] : []), longFlag(row)].map(code).join(', '),
          code(row.env),
          row.inFile === false ? '' : code(name),
          [row.defaultText ? prose(row.defaultText) : code(defaultText(row)), ...otherDefaults(row)].join(
            '; ',
          ),
          afterReload[row.applies],
          prose(row.help),
        ]);
      const table = [head, head.map(() => '---'), ...cells];
      return [`### ${section}`, '', ...table.map(markdownRow)].join('\n');
    })
    .join('\n\n');
}

/** The verbs in Markdown: what each means, and the ways to ask for it. */
export function markdownVerbs(): string {
  const cells = verbNames.map((name) => [
    Object.entries(verbs[name].signals)
      .map(([signal, argument]) => code(signal.slice(3)) + (argument ? ` (${argument})` : ''))
      .join(', '),
    code(`fasticorn ${withArgument(name)}`),
    code(`POST /${withArgument(name).replace(' [', '[/').replace(' ', '/')}`),
    prose(verbs[name].help),
  ]);
  const table = [['Signal', 'Command', 'Control socket', 'Meaning'], ['---', '---', '---', '---'], ...cells];
  return table.map(markdownRow).join('\n');
}

/** What the control socket shows, in Markdown. */
export function markdownPages(): string {
  const cells = Object.entries(pages).map(([name, text]) => [code(`GET /${name}`), prose(text)]);
  return [['Page', 'What it says'], ['---', '---'], ...cells].map(markdownRow).join('\n');
}

/** What each setting of Gunicorn is here, in Markdown: what has the same name, what has not, and what is missing. */
export function markdownGunicorn(): string {
  const settings = Object.entries(gunicornSettings);
  const same: string[] = [];
  const others: string[][] = [];
  const missing = new Map<string, string[]>();
  for (const [name, setting] of settings) {
    if (setting.why !== undefined) {
      missing.set(setting.why, [...(missing.get(setting.why) ?? []), name]);
      continue;
    }
    const { flags = [], ours, note } = setting;
    const isSame = camelCase(name) === ours;
    if (isSame && !note) same.push(name);
    else
      others.push([
        [name, ...flags].map(code).join(', '),
        isSame ? 'the same' : code(placeOf(ours)),
        note ?? '',
      ]);
  }
  return [
    `The same, as a flag and, in camel case, as a key: ${same.map(code).join(', ')}.`,
    '',
    ...[['Gunicorn', 'fasticorn', ''], ['---', '---', '---'], ...others].map(markdownRow),
    '',
    'Not there, and why:',
    '',
    ...[
      ['Gunicorn', ''],
      ['---', '---'],
      ...[...missing].map(([why, names]) => [names.map(code).join(', '), why]),
    ].map(markdownRow),
  ].join('\n');
}

/** The key in the file, or the flag of what cannot stand there. */
function placeOf(ours: string): string {
  const row = rows.find(([name]) => name === ours)?.[1];
  return row?.inFile === false ? `--${row.flag}` : ours;
}

function camelCase(name: string): string {
  return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** The hooks of a config file in Markdown: when each is told, and what. */
export function markdownHooks(): string {
  const cells = hookNames.map((name) => [code(name), prose(hooks[name].when), fieldsOf(name)]);
  return [['Hook', 'When', 'What its event says'], ['---', '---', '---'], ...cells]
    .map(markdownRow)
    .join('\n');
}

function fieldsOf(name: HookName): string {
  const fields = Object.entries<string>(hooks[name].fields);
  return fields.map(([field, note]) => code(field) + (note && ` (${note})`)).join(', ');
}

/** A verb and what may follow it: `stop [now]`. */
function withArgument(name: VerbName): string {
  const { argument, accepts } = verbs[name];
  if (argument === undefined) return name;
  return `${name} ${accepts?.(undefined) ? `[${argument}]` : argument}`;
}

/** When a value that was changed in the file takes effect. */
const afterReload: Record<Applies, string> = { live: 'at once', workers: 'new workers', restart: 'restart' };

function shortColumn(short: string | undefined): string {
  return short ? `  -${short}, ` : '      ';
}

function longFlag(row: Setting<unknown>): string {
  if (row.kind.optional) return `--${row.flag}[=${row.kind.optional}]`;
  return isSwitch(row) ? `--[no-]${row.flag}` : `--${row.flag} ${row.kind.placeholder}`;
}

function defaultText(row: Setting<unknown>): string {
  return row.defaultText ?? row.kind.show(row.default);
}

/** `3 with --watch` */
function otherDefaults({ defaultWith = {}, kind }: Setting<unknown>): string[] {
  return Object.entries(defaultWith).map(([mode, value]) => `${kind.show(value)} with --${mode}`);
}

function originText(row: Setting<unknown>, origin: Origin): string {
  if (origin.from === 'file') return placeInFile(origin);
  if (origin.from !== 'default') return `${origin.from} ${origin.name}`;
  if (origin.with) return `default with --${origin.with}`;
  return row.defaultText ? `default: ${row.defaultText}` : 'default';
}

/** Quotes a value that would break its line or be taken for more than the value. */
function onOneLine(value: string): string {
  return /[\s\p{C}#"]/u.test(value) ? JSON.stringify(value) : value;
}

/** Lines of at most `room` characters, broken between the pieces, and within those that are longer. */
function wrap(pieces: readonly string[], room: number): string[] {
  const lines: string[] = [];
  for (const piece of pieces.flatMap((one) => (one.length > room ? one.split(' ') : [one]))) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + piece.length <= room)
      lines[lines.length - 1] = `${last} ${piece}`;
    else lines.push(piece);
  }
  return lines;
}

function code(text: string): string {
  return `\`${text}\``;
}

/** Text that may hold code, but no tags: `<pid>` would otherwise be one. */
function prose(text: string): string {
  return text.replace(/`[^`]*`|</g, (found) => (found === '<' ? '&lt;' : found));
}

function markdownRow(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}
