/**
 * Has workers that accept on one socket take turns where many connections come at once. The system wakes all of them,
 * and who runs first takes most, for as long as clients keep them: of four workers some had none at all. Knows when
 * others are to come to theirs; on which sockets is the business of `listening.ts`.
 */
import type { Server } from 'node:net';
import { performance } from 'node:perf_hooks';

/** How long a worker sleeps, in milliseconds: enough for another to accept. Until it runs again it takes twice that. */
const NAP = 0.05;
/** Connections come at once if one is accepted so soon after the one before, in milliseconds. */
const AT_ONCE = 2;
/** How often it sleeps in a row, and in a second: it would cost where each request has a connection of its own. */
const MOST = 256;
const PER_SECOND = 25;

/** What is needed of the system. */
export interface TurnsSystem {
  /** Milliseconds of a monotonic clock. */
  now(): number;
  sleep(milliseconds: number): void;
}

const nobody = new Int32Array(new SharedArrayBuffer(4));
const system: TurnsSystem = {
  now: () => performance.now(),
  sleep: (milliseconds) => void Atomics.wait(nobody, 0, 0, milliseconds),
};

/** The turns of one worker. */
export class Turns {
  readonly #system: TurnsSystem;
  #last = Number.NEGATIVE_INFINITY;
  #left = MOST;

  constructor(own: TurnsSystem = system) {
    this.#system = own;
  }

  /** To be called after each connection that was accepted. */
  onAccepted(): void {
    const now = this.#system.now();
    const since = now - this.#last;
    this.#last = now;
    this.#left = Math.min(MOST, this.#left + (since * PER_SECOND) / 1000);
    if (since > AT_ONCE || this.#left < 1) return;
    this.#left--;
    this.#system.sleep(NAP);
  }
}

interface Handle {
  onconnection(...args: unknown[]): void;
}

/** Has a server that listens take turns with those of other workers. */
export function takeTurns(server: Server, turns: Pick<Turns, 'onAccepted'>): void {
  // Private. The event `connection` tells as well of connections that another server has handed over, or long before.
  const { _handle: handle } = server as unknown as { _handle: Handle | null };
  // An app may have closed it by now.
  if (!handle) return;
  const { onconnection } = handle;
  handle.onconnection = function (...args) {
    onconnection.apply(this, args);
    turns.onAccepted();
  };
}
