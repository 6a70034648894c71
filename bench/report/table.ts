/**
 * What was measured as tables, in Markdown and for a terminal. Pure; what may be said of a row is in `verdict.ts`.
 */
import type { Measured, Metric, Results, Row } from '../model.ts';
import { baselineTitle, figureCell, figureOf, isOurs, mainMetric, ratioCell } from './verdict.ts';

export interface Column {
  title: string;
  /** Figures stand right, text stands left. */
  align: 'left' | 'right';
  cell(row: Row): string;
}

/** A line for each row. */
export interface Table {
  columns: readonly Column[];
  rows: readonly Row[];
}

export const nameColumn: Column = { title: '', align: 'left', cell: ({ title }) => title };

/** Everything of an experiment: the ratio of its first metric, figures of all metrics that have any, and notes. */
export function tableOf(measured: Measured): Table {
  const { rows } = measured;
  const notes: Column = { title: 'Note', align: 'left', cell: ({ note = '' }) => note };
  return {
    columns: [
      nameColumn,
      ratioColumn(measured),
      ...figureColumns(measured),
      ...(rows.some(({ note }) => note) ? [notes] : []),
    ],
    rows,
  };
}

function ratioColumn(measured: Measured): Column {
  return { title: 'Ratio', align: 'right', cell: (row) => ratioCell(row, measured) };
}

function figureColumns(measured: Measured): Column[] {
  return measured.metrics
    .filter(({ id }) => measured.rows.some((row) => figureOf(row, id) !== undefined))
    .map((metric) => ({
      title: withUnit(metric),
      align: 'right',
      cell: (row) => figureCell(row, metric.id, measured),
    }));
}

/** What a reader has to know of the rows, such as `Watt: TCP only`, each once. */
export function notesOf(rows: readonly Row[]): string[] {
  return [...new Set(rows.flatMap(({ title, note }) => (note ? `${title}: ${note}` : [])))];
}

/** `p50, ms`; as it is where the title says the unit. */
export function withUnit({ title, unit }: Metric): string {
  const saysIt = title.split(/[ ,/()]+/).includes(unit);
  return unit && !saysIt ? `${title}, ${unit}` : title;
}

/** `Ratio: requests/s in each round relative to bare Fastify; higher is better; median of 9 rounds, with the quartiles` */
export function aboutRatio(measured: Measured): string {
  const rounds = Math.max(
    0,
    ...measured.rows.flatMap(({ figures }) => Object.values(figures).map((one) => one.length)),
  );
  return `Ratio: ${aboutRatiosOf(mainMetric(measured), measured)}; median of ${rounds} rounds, with the quartiles`;
}

/** What ratios are of: `requests/s in each round relative to bare Fastify; higher is better` */
export function aboutRatiosOf({ title, better }: Metric, measured: Measured): string {
  return `${lowerFirst(title)} in each round relative to ${baselineTitle(measured)}; ${better} is better`;
}

/** Leaves `CPU` and `p99` as they are. */
function lowerFirst(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text[0]!.toLowerCase() + text.slice(1) : text;
}

/** A table of Markdown, with our rows in bold. */
export function markdownTable({ columns, rows }: Table): string {
  const bold = (cell: string) => (/[^–]/.test(cell) ? `**${cell}**` : cell);
  return [
    columns.map(({ title }) => title),
    columns.map(({ align }) => (align === 'right' ? '--:' : '---')),
    ...rows.map((row) => columns.map(({ cell }) => (isOurs(row) ? bold(cell(row)) : cell(row)))),
  ]
    .map((cells) => `| ${cells.map(escaped).join(' | ')} |`)
    .join('\n');
}

function escaped(cell: string): string {
  return cell.replaceAll('|', '\\|').replaceAll('<', '&lt;');
}

/** The table in columns of spaces. */
export function plainTable({ columns, rows }: Table): string {
  const padded = columns.map(({ title, align, cell }) => {
    const cells = [title, ...rows.map(cell)];
    const width = Math.max(...cells.map(({ length }) => length));
    return cells.map((text) => (align === 'right' ? text.padStart(width) : text.padEnd(width)));
  });
  return ['', ...rows]
    .map((_, line) =>
      padded
        .map((cells) => cells[line])
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Everything that was measured, and what was not, for a terminal, with notes below. */
export function plainTables({ measured, absent }: Results): string {
  const tables = measured.map((one) => {
    const columns = [nameColumn, ratioColumn(one), ...figureColumns(one)];
    const notes = notesOf(one.rows).map((note) => `  ${note}`);
    const table = plainTable({ columns, rows: one.rows });
    return [one.title, one.setting, aboutRatio(one), '', table, ...notes].join('\n');
  });
  const missing = absent.map(({ what, why }) => `  ${what}: ${why}`);
  return [...tables, ...(missing.length > 0 ? [['Not measured:', ...missing].join('\n')] : [])].join('\n\n');
}
