/**
 * Which worker a debugger reaches: with --inspect each slot has a port of its own, and a new worker gets that of its
 * slot when the old one has ended. Knows workers and ports; opening them is the worker's business.
 */
import type { TcpAddress } from '../config/kinds.ts';
import type { Logger } from '../log.ts';
import type { Fleet } from './fleet.ts';

/** Hands out the ports. */
export class Inspection {
  readonly #fleet: Fleet;
  readonly #first: TcpAddress;
  /** Who has the port of a slot, as long as it lives. */
  readonly #holders = new Map<number, number>();

  /** @param first the address for the worker in slot 1; those of the others follow. */
  constructor(fleet: Fleet, first: TcpAddress, log: Logger) {
    this.#fleet = fleet;
    this.#first = first;
    if (!/^(127\.|localhost$|::1$)/.test(first.host))
      log.warn(`--inspect: whoever can reach ${first.host} can run any code in the workers`);
  }

  /** Gives ports that are free to workers that have none. */
  assign(): void {
    const { state } = this.#fleet;
    const alive = new Set(state.workers.map(({ id }) => id));
    const { host, port } = this.#first;
    for (const { id, slot, phase, killed } of state.workers) {
      if (phase === 'retiring' || killed || alive.has(this.#holders.get(slot) ?? -1)) continue;
      this.#holders.set(slot, id);
      this.#fleet.tell(id, { type: 'inspect', host, port: port === 0 ? 0 : port + slot - 1 });
    }
  }
}
