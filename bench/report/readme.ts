/**
 * The files that are made of result files: the part of README.md, its charts, and all tables. Pure; reading and writing
 * them is the business of `test/support/generate.ts`.
 */
import type { Measured, Metric, Results, Row } from '../model.ts';
import { experiments as planned } from '../plan.ts';
import { FEW, median, summary, UNSURE_LIMIT } from '../statistics.ts';
import { barChart, lineChart } from './chart.ts';
import { type ChosenTable, charts, tables } from './chosen.ts';
import { growthOf } from './growth.ts';
import {
  aboutRatio,
  aboutRatiosOf,
  type Column,
  markdownTable,
  nameColumn,
  notesOf,
  type Table,
  tableOf,
  withUnit,
} from './table.ts';
import { baselineOf, errorsText, figureCell, isSure, mainMetric, ratioCell, ratiosOf } from './verdict.ts';

/** Results by the name of their file, such as `full` for `full.json`. */
export type ResultFiles = Readonly<Record<string, Results>>;

/** The folder of the result files and of what is made of them, below the root of the repository. */
export const RESULTS = 'bench/results';

/** What stands in README.md between the markers. */
export function readmePart(files: ResultFiles): string {
  if (Object.keys(files).length === 0) return 'There are no results yet.';
  const found = experiments(files);
  const pictures = charts
    .filter(({ inReadme }) => inReadme)
    .flatMap(({ experiment }) => found.get(experiment) ?? []);
  const ratios = comparable(files);
  const summaries = tables.flatMap((table) => summaryOf(table, table.ratiosOf ? ratios : found));
  const notes = notesOf(summaries.flatMap(({ table }) => table.rows));
  return [
    ...summaries.flatMap(({ about, table }) => [about, markdownTable(table)]),
    ...(notes.length > 0 ? [notes.map((note) => `- ${note}`).join('\n')] : []),
    ...pictures.map((one) => picture(one, `${RESULTS}/`)),
    ...provenance(Object.values(files)),
    `[All tables](${RESULTS}/tables.md), with latencies and CPU, say also what ≥, ≤ and ≈ are. In parentheses: the quartiles of all rounds. Limited by the load: it and the baseline kept the load generator busy, and neither came to its own limit; – was not measured.`,
  ].join('\n\n');
}

/** What is written beside the result files, by the path below the root of the repository; nothing without results. */
export function resultFiles(files: ResultFiles): Record<string, string> {
  if (Object.keys(files).length === 0) return {};
  const found = experiments(files);
  const pictures = charts.flatMap(({ experiment, over }) => {
    const measured = found.get(experiment);
    if (!measured) return [];
    const plan = planned.find(({ id }) => id === experiment);
    const svg = over && plan ? lineChart(growthOf(measured, plan, over)) : barChart(measured);
    return [[`${RESULTS}/${experiment}.svg`, svg]];
  });
  return { ...Object.fromEntries(pictures), [`${RESULTS}/tables.md`]: allTables(files) };
}

/** By id; of those in several files the one that was measured last. */
function experiments(files: ResultFiles): Map<string, Measured> {
  return new Map(inTime(files).map((one) => [one.id, one]));
}

/**
 * The same for ratios: not the last one if the rounds of its baseline disagree, and those of an earlier one do not, as what
 * others are relative to it would say nothing.
 */
function comparable(files: ResultFiles): Map<string, Measured> {
  const all = inTime(files);
  const byTrust = [...all.filter((one) => !hasSureBaseline(one)), ...all.filter(hasSureBaseline)];
  return new Map(byTrust.map((one) => [one.id, one]));
}

function inTime(files: ResultFiles): Measured[] {
  return Object.values(files)
    .sort((a, b) => a.date.localeCompare(b.date))
    .flatMap(({ measured }) => measured);
}

function hasSureBaseline(measured: Measured): boolean {
  const figures = baselineOf(measured)?.figures[mainMetric(measured).id];
  return figures !== undefined && isSure(figures, measured);
}

const picture = ({ id, title }: Measured, folder = '') => `![${title}](${folder}${id}.svg)`;

interface Summary {
  /** What its figures are. */
  about: string;
  table: Table;
}

/** A table of several experiments; none if none of them was measured. */
function summaryOf(
  { title, ratiosOf, columns }: ChosenTable,
  found: ReadonlyMap<string, Measured>,
): Summary[] {
  const shown = columns.flatMap((column) => {
    const measured = found.get(column.experiment);
    const metric = measured?.metrics.find(({ id }) => id === (ratiosOf ?? column.metric));
    return measured && metric ? [{ title: column.title, measured, metric }] : [];
  });
  const [first] = shown;
  if (!first) return [];
  const about = ratiosOf ? aboutRatiosOf(first.metric, first.measured) : 'lower is better';
  const rows = new Map(shown.flatMap(({ measured }) => measured.rows.map((row) => [row.id, row] as const)));
  return [
    {
      about: `${title}, ${about}:`,
      table: {
        columns: [nameColumn, ...shown.map(ratiosOf ? ratiosColumn : figuresColumn)],
        rows: [...rows.values()],
      },
    },
  ];
}

/** A column, and what is in it. */
interface Shown {
  title: string;
  measured: Measured;
  metric: Metric;
}

function ratiosColumn({ title, measured, metric }: Shown): Column {
  return column(title, measured, (row) => ratioCell(row, measured, metric));
}

function figuresColumn({ title, measured, metric }: Shown): Column {
  return column(withUnit({ ...metric, title }), measured, (row) =>
    row.errors > 0 ? errorsText(row) : figureCell(row, metric.id, measured),
  );
}

/** Of whatever row of the experiment has the same id. */
function column(title: string, { rows }: Measured, cell: (row: Row) => string): Column {
  return {
    title,
    align: 'right',
    cell: ({ id }) => {
      const row = rows.find((one) => one.id === id);
      return row ? cell(row) : '–';
    },
  };
}

/** Where and with what all was measured; then when, by what, how noisy that was, and what is missing. */
function provenance(files: readonly Results[]): string[] {
  const places = new Map<string, Results[]>();
  for (const results of files) {
    const place = placeOf(results);
    places.set(place, [...(places.get(place) ?? []), results]);
  }
  return [...places].map(([place, all]) => `Measured on ${place}:\n\n${all.map(occasion).join('\n')}`);
}

function placeOf({ machine, versions }: Results): string {
  const { cpu, cpus, memory, system } = machine;
  const { fasticorn: _, ...others } = versions;
  const list = Object.entries(others).map(([name, version]) => `${name} ${version}`);
  return `${cpu}, ${cpus} CPUs, ${memory}, ${system}, with ${list.join(', ')}`;
}

function occasion(results: Results): string {
  const { command, date, versions, absent } = results;
  const noise = noiseOf(results);
  const facts = [
    ...(noise === undefined ? [] : [`the quartiles of a ratio are ${percent(noise)} apart (median)`]),
    ...(absent.length === 0 ? [] : [`not measured: ${absentText(absent)}`]),
  ];
  const about = `- on ${date.slice(0, 10)} by \`${command}\`, fasticorn ${versions.fasticorn}`;
  return facts.length > 0 ? `${about}: ${facts.join('; ')}` : about;
}

/** Those with the same reason together: `b (not installed); c, d (too slow)`. */
function absentText(absent: Results['absent']): string {
  const reasons = new Map<string, string[]>();
  for (const { what, why } of absent) reasons.set(why, [...(reasons.get(why) ?? []), what]);
  return [...reasons].map(([why, all]) => `${all.join(', ')} (${why.split('\n')[0]})`).join('; ');
}

/** The median spread of all ratios, as a part of 1; undefined without ratios. */
function noiseOf({ measured }: Results): number | undefined {
  const spreads = measured.flatMap((one) =>
    one.rows
      .filter(({ id }) => id !== one.baseline)
      .flatMap((row) => summary(ratiosOf(row, one))?.spread ?? []),
  );
  return spreads.length === 0 ? undefined : median(spreads);
}

function percent(part: number): string {
  return `${(100 * part).toFixed(1)} %`;
}

function allTables(files: ResultFiles): string {
  const found = experiments(files);
  return [
    '# Everything that was measured',
    `Made by \`npm run generate\` from the JSON files beside it. A ratio is that of a row to the baseline in the same round,
the median of all rounds, with their quartiles in parentheses unless those are the same; other figures are medians, p99
with quartiles as well, with a ≈ where the rounds disagree, and what was lost and sent is added up. ≥ and ≤: the load
generator was the limit. There is no ratio where the rounds disagree, or where answers were wrong or did not come. Rounds
disagree where the median is not known to ${100 * UNSURE_LIMIT} %; up to ${FEW} of them where two are further apart than that. If all
servers were started several times, it is about the medians of the starts.`,
    ...Object.entries(files).flatMap(([name, results]) => [
      `## ${name}.json`,
      ...provenance([results]),
      ...results.measured.flatMap((one) => [
        `### ${one.title}`,
        `${one.setting}. ${aboutRatio(one)}.`,
        // Not beside those of an older file.
        ...(found.get(one.id) === one && charts.some(({ experiment }) => experiment === one.id)
          ? [picture(one)]
          : []),
        markdownTable(tableOf(one)),
      ]),
    ]),
    '',
  ]
    .join('\n\n')
    .replace(/\n+$/, '\n');
}
