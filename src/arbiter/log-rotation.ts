/**
 * Log files that all workers are to open anew: who has done so, and what stood in somebody's way. Whoever asked, such as
 * logrotate, compresses the old files once it is told that all is done.
 */
import type { Order, Report } from '../protocol.ts';

/** How long workers may take for it, in milliseconds: one whose event loop is blocked does not hear of it. */
const ANSWER_WITHIN = 5_000;

interface Round {
  waiting: Set<number>;
  obstacle: string | undefined;
  done(): void;
}

/** Keeps the rounds that are under way. */
export class LogRotation {
  readonly #rounds = new Map<number, Round>();
  #last = 0;

  /**
   * Has all workers open their logs anew, of which these are the ids.
   *
   * @returns what stood in the way of the first of those that could not; undefined if nothing did.
   */
  async run(
    ids: readonly number[],
    tellAll: (order: Order) => void,
    nameOf: (id: number) => string,
  ): Promise<string | undefined> {
    const number = ++this.#last;
    const waiting = new Set(ids);
    const round: Round = { waiting, obstacle: undefined, done: () => {} };
    this.#rounds.set(number, round);
    tellAll({ type: 'reopen', number });
    if (waiting.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ANSWER_WITHIN);
        round.done = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#rounds.delete(number);
    const [late] = [...waiting];
    if (round.obstacle !== undefined || late === undefined) return round.obstacle;
    return `${nameOf(late)} is busy, and uses the old files until it is not`;
  }

  /** A worker has done so, or could not. */
  answered(id: number, { number, obstacle }: Extract<Report, { type: 'reopened' }>): void {
    const round = this.#rounds.get(number);
    if (!round) return;
    round.obstacle ??= obstacle;
    this.#strike(round, id);
  }

  /** A worker has ended, and its files with it. */
  ended(id: number): void {
    for (const round of this.#rounds.values()) this.#strike(round, id);
  }

  #strike({ waiting, done }: Round, id: number): void {
    waiting.delete(id);
    if (waiting.size === 0) done();
  }
}
