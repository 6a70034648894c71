/** A row in the making: gets one figure of each metric in every round, so that rounds of different rows can be paired. */
import type { Metric, Row } from '../model.ts';
import { type Live, titleOf } from '../site.ts';

/** Why there is no figure that every process of a server has a part in. */
export const HAS_ENDED = 'a process of it has ended';

export class RowBuilder {
  readonly #live: Pick<Live, 'entry' | 'server'>;
  readonly #figures: Record<string, (number | null)[]>;
  #rounds = 0;
  #roundsLimited = 0;
  /** Answers that were wrong or did not come. */
  errors = 0;

  constructor(live: Pick<Live, 'entry' | 'server'>, metrics: readonly Metric[]) {
    this.#live = live;
    this.#figures = Object.fromEntries(metrics.map(({ id }) => [id, []]));
  }

  /** Adds a round; a metric without a figure has none in this round. */
  add(figures: Record<string, number | null | undefined>, { limitedByLoad = false } = {}): void {
    for (const [metric, series] of Object.entries(this.#figures)) series.push(figures[metric] ?? null);
    this.#rounds++;
    if (limitedByLoad) this.#roundsLimited++;
  }

  /** Adds a round that failed: an error, and no figures. */
  miss(): void {
    this.errors++;
    this.add({});
  }

  /** Has it miss the rounds that it lacks of so many. */
  fillUp(rounds: number): void {
    while (this.#rounds < rounds) this.miss();
  }

  row(): Row {
    const { entry, server } = this.#live;
    return {
      id: entry.id,
      title: titleOf(entry, server),
      ...(server.note === undefined ? {} : { note: server.note }),
      figures: this.#figures,
      errors: this.errors,
      ...(this.#roundsLimited * 2 > this.#rounds ? { limitedByLoad: true } : {}),
    };
  }
}
