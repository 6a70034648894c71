/**
 * What a few noisy rounds say: ratios within a round, median, quartiles, and whether the rounds agree. Pure; how it is
 * shown is left to those who print.
 */
import type { Series } from './model.ts';

/** Rounds agree if their median is known to this part of it; a few if no two are further apart than that. */
export const UNSURE_LIMIT = 0.15;
/** So many rounds are few: their quartiles are between figures that nobody knows to be typical. */
export const FEW = 4;

/** What a series comes to. */
export interface Summary {
  median: number;
  /** The lower quartile. */
  low: number;
  /** The upper quartile. */
  high: number;
  /** The range between the quartiles, as a part of the median; 0 for a single figure. */
  spread: number;
  /** How far off the median may well be, as a part of it: half of the notch that a box plot has, 1.57 × spread / √n. */
  unsure: number;
}

/** The figure that `part` (0 to 1) of them are not above, interpolated between its neighbours; NaN for none. */
export function quantile(numbers: readonly number[], part: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const [below, above] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  if (below === undefined || above === undefined) return Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** The one in the middle; NaN for none. */
export const median = (numbers: readonly number[]): number => quantile(numbers, 0.5);

/**
 * The sample that `part` (0 to 1) of them are not above: always one of them, as it is usual for latencies; null if
 * there are so few that it would be the last one anyway, such as 500 for 0.999.
 *
 * @param sorted in ascending order.
 */
export function percentile(sorted: ArrayLike<number>, part: number): number | null {
  const rank = Math.ceil(sorted.length * part);
  return rank < sorted.length ? (sorted[rank - 1] ?? null) : null;
}

/** A row to the baseline, in the same round: null in rounds that one of them has no figure of, or the baseline has 0. */
export function ratios(row: Series, baseline: Series): (number | null)[] {
  return row.map((figure, round) => {
    const base = baseline[round];
    return figure === null || !base ? null : figure / base;
  });
}

/** What the rounds that have a figure come to; undefined if none has. */
export function summary(series: Series): Summary | undefined {
  const numbers = series.filter((one) => one !== null);
  if (numbers.length === 0) return undefined;
  const middle = median(numbers);
  const [low, high] = [quantile(numbers, 0.25), quantile(numbers, 0.75)];
  const spread = high === low ? 0 : (high - low) / Math.abs(middle);
  return { median: middle, low, high, spread, unsure: (1.57 * spread) / Math.sqrt(numbers.length) };
}

/** Whether the rounds are near enough to each other, or enough of them, to be summed up in one number. One alone is not. */
export function agree(series: Series): boolean {
  const all = summary(series);
  if (all === undefined || isSingle(series)) return false;
  const numbers = series.filter((one) => one !== null);
  if (numbers.length > FEW) return all.unsure <= UNSURE_LIMIT;
  const least = Math.min(...numbers);
  return Math.max(...numbers) - least <= UNSURE_LIMIT * least;
}

/** Whether there is one figure, of which nobody knows how near others would be. */
export function isSingle(series: Series): boolean {
  return series.filter((one) => one !== null).length === 1;
}

/** The numbers of all rounds, in as many parts of about the same length. */
export function portions(rounds: number, parts: number): number[][] {
  const end = (part: number) => Math.round((part * rounds) / parts);
  return Array.from({ length: parts }, (_, part) =>
    Array.from({ length: end(part + 1) - end(part) }, (_, index) => end(part) + index),
  ).filter((portion) => portion.length > 0);
}

/**
 * Where servers were started anew some times: the median of the rounds of each start. Those are nearer to each other than
 * to those of another, so that there are no more independent figures than starts.
 */
export function perStart(series: Series, starts: number): Series {
  if (starts === 1) return series;
  return portions(series.length, starts).map(
    (rounds) => summary(rounds.map((round) => series[round] ?? null))?.median ?? null,
  );
}
