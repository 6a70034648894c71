/**
 * The lines in an experiment whose rows are the same servers with more and more of something, such as workers. Pure; the
 * number that a row has is in `plan.ts`, drawing is left to `chart.ts`.
 */
import type { Entry, Experiment } from '../experiment.ts';
import type { Measured, Metric, Row } from '../model.ts';
import type { Growth, Line } from './chart.ts';
import { figureOf, isOurs, isSure, mainMetric } from './verdict.ts';

/** Lines over the number of each row, in ascending order. */
export function growthOf(
  measured: Measured,
  { entries }: Pick<Experiment, 'entries'>,
  over: { title: string; of(entry: Entry): number },
): Growth {
  const metric = mainMetric(measured);
  const servers = new Map<string, { entry: Entry; row: Row }[]>();
  for (const row of measured.rows) {
    const entry = entries.find(({ id }) => id === row.id);
    if (entry) servers.set(entry.server, [...(servers.get(entry.server) ?? []), { entry, row }]);
  }
  const lines = [...servers.values()].map(
    (all): Line => ({
      title: serverTitle(all[0]!),
      isOurs: isOurs(all[0]!.row),
      points: all
        .map(({ entry, row }) => ({ at: over.of(entry), ...pointOf(row, metric, measured) }))
        .sort((a, b) => a.at - b.at),
    }),
  );
  return { ...measured, metric, over: over.title, lines };
}

function pointOf(row: Row, { id, better }: Metric, measured: Measured): Omit<Line['points'][number], 'at'> {
  const isKnown = row.errors === 0 && isSure(row.figures[id] ?? [], measured);
  const value = isKnown ? figureOf(row, id) : undefined;
  // What is better low, such as the cost of a request, has no limit there.
  return value === undefined ? {} : { value, isLimited: better === 'higher' && row.limitedByLoad === true };
}

/** Without what sets its rows apart. */
function serverTitle({ entry, row }: { entry: Entry; row: Row }): string {
  return entry.variant ? row.title.replace(`, ${entry.variant}`, '') : row.title;
}
