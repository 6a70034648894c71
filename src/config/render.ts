/**
 * The settings as people read them: `--help`, `--print-config` and the README's reference. Pure; every text comes
 * without a last newline. What there is to show is in `settings.ts`.
 */
import type { Loaded, Origin } from './load.ts';
import { actions, isSwitch, rows, type Setting } from './settings.ts';

interface Group {
  title: string;
  entries: { left: string; help: string; notes: string[] }[];
}

const USAGE = 'Usage: fasticorn [options] <app>';

const sections = [...new Set(rows.map(([, row]) => row.section))];

/** What `fasticorn` says when it is called without an app. */
export function usage(): string {
  return [
    USAGE,
    '',
    '<app> is the file of a Fastify app, such as ./dist/app.js.',
    'fasticorn --help shows all options.',
  ].join('\n');
}

/** The text of `--help` for a terminal so many columns wide; a narrower one than 80 wraps the lines itself. */
export function help(version: string, columns: number): string {
  const groups: Group[] = sections.map((section) => ({
    title: section,
    entries: rows
      .filter(([, row]) => row.section === section)
      .map(([, row]) => ({
        left: `${shortColumn(row.short)}${longFlag(row)}`,
        help: row.help,
        notes: [`[default: ${defaultText(row)}]`, `[env: ${row.env}]`],
      })),
  }));
  groups.push({
    title: 'Instead of serving',
    entries: Object.values(actions).map((action: { flag: string; short?: string; help: string }) => ({
      left: `${shortColumn(action.short)}--${action.flag}`,
      help: action.help,
      notes: [],
    })),
  });

  const indent = 2 + Math.max(...groups.flatMap(({ entries }) => entries.map(({ left }) => left.length)));
  const room = Math.max(columns, 80) - indent;
  const lines = [`fasticorn ${version}: a pre-fork application server for Fastify`, '', USAGE];
  for (const { title, entries } of groups) {
    lines.push('', `${title}:`);
    for (const { left, help, notes } of entries) {
      const right = [...wrap(help.split(' '), room), ...wrap(notes, room)];
      lines.push(...right.map((line, index) => (index === 0 ? left : '').padEnd(indent) + line));
    }
  }
  lines.push(
    '',
    'Examples:',
    '  fasticorn --bind unix:/run/app/app.sock --workers 4 ./dist/app.js',
    '  WEB_CONCURRENCY=4 fasticorn --bind 127.0.0.1:8000 ./dist/app.js',
  );
  return lines.join('\n');
}

/** The text of `--print-config`: a line for each setting, with its value and where that came from. */
export function printConfig({ config, origins }: Loaded): string {
  const lines = rows.map(([name, row]) => ({
    flag: row.flag,
    value: config[name] === undefined ? '' : onOneLine(row.kind.show(config[name])),
    origin: originText(row, origins[name]),
  }));
  const flagWidth = Math.max(...lines.map(({ flag }) => flag.length));
  const valueWidth = Math.max(...lines.map(({ value }) => value.length));
  return lines
    .map(({ flag, value, origin }) => `${flag.padEnd(flagWidth)} = ${value.padEnd(valueWidth)}  # ${origin}`)
    .join('\n');
}

/** The reference of the settings in Markdown: a table for each section. */
export function markdownReference(): string {
  return sections
    .map((section) => {
      const cells = rows
        .filter(([, row]) => row.section === section)
        .map(([, row]) => [
          [...(row.short ? [`-${row.short}`] : []), longFlag(row)].map(code).join(', '),
          code(row.env),
          row.defaultText ?? code(defaultText(row)),
          row.help,
        ]);
      const table = [['Flag', 'Variable', 'Default', 'Meaning'], ['---', '---', '---', '---'], ...cells];
      return [`### ${section}`, '', ...table.map(markdownRow)].join('\n');
    })
    .join('\n\n');
}

function shortColumn(short: string | undefined): string {
  return short ? `  -${short}, ` : '      ';
}

function longFlag(row: Setting<unknown>): string {
  return isSwitch(row) ? `--[no-]${row.flag}` : `--${row.flag} ${row.kind.placeholder}`;
}

function defaultText(row: Setting<unknown>): string {
  return row.defaultText ?? row.kind.show(row.default);
}

function originText(row: Setting<unknown>, origin: Origin): string {
  if (origin.from !== 'default') return `${origin.from} ${origin.name}`;
  return row.defaultText ? `default: ${row.defaultText}` : 'default';
}

/** Quotes a value that would break its line or be taken for more than the value. */
function onOneLine(value: string): string {
  return /[\s\p{C}#"]/u.test(value) ? JSON.stringify(value) : value;
}

/** Lines of at most `room` characters, broken between the pieces. */
function wrap(pieces: readonly string[], room: number): string[] {
  const lines: string[] = [];
  for (const piece of pieces) {
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

function markdownRow(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}
