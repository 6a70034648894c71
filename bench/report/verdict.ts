/**
 * What may be said of a row beside the baseline: a ratio, a bound of one, or why there is none. Pure; the arithmetic is
 * in `statistics.ts`, how it is shown is the business of tables and charts.
 */
import type { Measured, Metric, Row, Series } from '../model.ts';
import { agree, isSingle, median, perStart, ratios, summary } from '../statistics.ts';

export interface Ratio {
  /** Of the ratios of all rounds, with the quartiles. */
  median: number;
  low: number;
  high: number;
  /** What is to be read before the number, where the load generator was the limit of one of the two. */
  bound: '' | '≥ ' | '≤ ';
}

export type Verdict = Ratio | { why: string };

export const isRatio = (verdict: Verdict): verdict is Ratio => 'median' in verdict;

/** The row that ratios refer to; undefined if it was not measured. */
export function baselineOf({ baseline, rows }: Measured): Row | undefined {
  return rows.find(({ id }) => id === baseline);
}

/** What the baseline is called. */
export function baselineTitle(measured: Measured): string {
  return baselineOf(measured)?.title ?? measured.baseline;
}

/** `1 error`, `12 errors` */
export const errorsText = ({ errors }: Row): string => counted(errors, 'error');

const counted = (count: number, what: string) =>
  `${count.toLocaleString('en-US')} ${what}${count === 1 ? '' : 's'}`;

/** Whether a row is of this server, or of a variant of it. */
export const isOurs = ({ id }: Row): boolean => /^fasticorn(-|$)/.test(id);

/** The metric whose ratio stands for the experiment: its first. */
export function mainMetric({ id, metrics }: Measured): Metric {
  const first = metrics[0];
  if (!first) throw new Error(`${id}: an experiment without a metric`);
  return first;
}

/** The row's ratio to the baseline, round by round; empty if either has none. */
export function ratiosOf(row: Row, measured: Measured, { id } = mainMetric(measured)): Series {
  return ratios(row.figures[id] ?? [], baselineOf(measured)?.figures[id] ?? []);
}

/** `12 errors`, or `3 requests lost` of those that are counted as a figure; undefined if all was well. */
function failuresOf(row: Row): string | undefined {
  if (row.errors > 0) return errorsText(row);
  const lost = figureOf(row, 'lost') ?? 0;
  return lost > 0 ? `${counted(lost, 'request')} lost` : undefined;
}

/** Whether the rounds, or the starts if there were several, agree. */
export function isSure(series: Series, { starts = 1 }: Pick<Measured, 'starts'>): boolean {
  return agree(perStart(series, starts));
}

/** What is to be said of a metric of the row. */
export function verdictOf(row: Row, measured: Measured, metric = mainMetric(measured)): Verdict {
  const baseline = baselineOf(measured);
  const failed = failuresOf(row);
  if (failed) return { why: failed };
  if (!baseline) return { why: 'no baseline' };
  if (failuresOf(baseline)) return { why: 'errors in the baseline' };
  const series = ratiosOf(row, measured, metric);
  const found = summary(series);
  if (!found) return { why: '–' };
  // The baseline is 1 in any round.
  if (row !== baseline && !isSure(series, measured))
    return { why: isSingle(series) ? 'one round only' : 'rounds disagree' };
  const bound = boundOf(row, baseline, metric);
  return bound === undefined ? { why: 'limited by the load' } : { ...found, bound };
}

/** Undefined if nothing is known, as the load generator was the limit of both. */
function boundOf(row: Row, baseline: Row, { better }: Metric): Ratio['bound'] | undefined {
  if (row === baseline || better === 'lower') return '';
  if (row.limitedByLoad) return baseline.limitedByLoad ? undefined : '≥ ';
  return baseline.limitedByLoad ? '≤ ' : '';
}

/** `≥ 1.07 (1.01–1.20)`, the ratio with its quartiles, or why there is none. */
export function ratioCell(row: Row, measured: Measured, metric = mainMetric(measured)): string {
  const verdict = verdictOf(row, measured, metric);
  return isRatio(verdict) ? verdict.bound + withQuartiles(verdict, twoDecimals) : verdict.why;
}

/** A ratio in two or three significant digits: `1.23`, `12.3`, `0.012`. */
export function ratioText({ median, bound }: Ratio): string {
  return bound + twoDecimals(median);
}

/** Without the quartiles where they are no other than the median in the precision that is shown. */
function withQuartiles(
  { median, low, high }: Pick<Ratio, 'median' | 'low' | 'high'>,
  text: (figure: number) => string,
): string {
  const [middle, lower, upper] = [text(median), text(low), text(high)];
  return lower === middle && upper === middle ? middle : `${middle} (${lower}–${upper})`;
}

function twoDecimals(ratio: number): string {
  if (ratio >= 10) return figureText(ratio);
  return ratio >= 0.1 || ratio === 0 ? ratio.toFixed(2) : ratio.toPrecision(2);
}

/** What happened in each round and is added up: a median would hide it. */
const COUNTS = ['lost', 'sent'];
/** What differs so much from round to round that a median alone says little. */
const TAILS = ['p99'];

/** The median of a row's figures, or the sum of counts; undefined without any. */
export function figureOf(row: Row, metric: string): number | undefined {
  const figures = (row.figures[metric] ?? []).filter((one) => one !== null);
  if (figures.length === 0) return undefined;
  return COUNTS.includes(metric) ? figures.reduce((sum, one) => sum + one, 0) : median(figures);
}

/** `42,100`, of a tail `42,100 (40,200–47,300)`; `≈ 42,100` where the rounds disagree, and a dash for none. */
export function figureCell(row: Row, metric: string, measured: Measured): string {
  const figure = figureOf(row, metric);
  if (figure === undefined) return '–';
  const series = row.figures[metric]!;
  const text = TAILS.includes(metric) ? withQuartiles(summary(series)!, figureText) : figureText(figure);
  return COUNTS.includes(metric) || isSure(series, measured) ? text : `≈ ${text}`;
}

/** A figure in at most three significant digits, thousands apart: `0.0123`, `1.2`, `42,100`. */
export function figureText(value: number): string {
  return value.toLocaleString('en-US', { maximumSignificantDigits: 3 });
}
