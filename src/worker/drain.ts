/**
 * How a worker stops without losing a request. Knows the order of events and its time limits; what is idle and what
 * is not it learns from `connections.ts`.
 */
import * as net from 'node:net';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { CUT_BEFORE } from '../timing.ts';
import type { Connections } from './connections.ts';

/** How often the connections are looked at, in milliseconds. */
const LOOK = 25;
/** What a quick stop gives requests in flight, in milliseconds. */
const QUICK_GRACE = 1_000;
/** What app.close() gets to end WebSockets and streams before they are cut, in milliseconds. */
const CLOSE_GRACE = 1_000;
/**
 * How long a TCP port, whose clients go on coming and are answered, may keep us from closing it, in milliseconds. On a busy
 * machine a full queue takes a good part of it.
 */
const PORT_GRACE = 2_000;

/** What is to be drained. */
export interface Draining {
  /** Every server that accepts connections. */
  listening: readonly Accepting[];
  connections: Connections;
  /** Gives up what the app listens to besides. */
  stopListening(): void;
  /** The app's own close, which runs its hooks. Waits for all connections to end. */
  closeApp(): Promise<unknown>;
  /** In seconds. */
  gracefulTimeout: number;
  /** How long idle connections are left for their clients to close, in seconds. */
  idleGrace: number;
  /** Called when nobody waits to be accepted any more, where that is up to us. */
  onEmptied(): void;
  /** Called when there is nothing that a new request could come from, if idle connections are not left open. */
  onSilent(): void;
  /** Called with how many connections had to be cut with something unfinished on them, perhaps none. */
  onCut(count: number): void;
}

/** A server, and what is to become of those who wait to be accepted. */
export interface Accepting {
  server: net.Server;
  /**
   * Unless it is left, the accept queue is emptied first, as no other worker will. `named`: its name is gone, so nobody new
   * comes and the queue will end.
   */
  queue: 'leave' | 'named' | 'port';
}

/** A drain that is under way. */
export class Drain {
  readonly #draining: Draining;
  readonly #start = performance.now();
  readonly #patience: number;
  #hurriedAt = Number.POSITIVE_INFINITY;

  constructor(draining: Draining) {
    this.#draining = draining;
    const limit = draining.gracefulTimeout * 1000;
    // With a timeout of a few seconds half of it has to do.
    this.#patience = Math.max(limit - CUT_BEFORE * 1000, limit / 2);
  }

  /** From now on requests in flight have one second, and idle connections nothing. */
  hurry(): void {
    this.#hurriedAt = Math.min(this.#hurriedAt, performance.now());
  }

  /** Stops accepting, lets everything finish that has begun, and closes the app. */
  async run(): Promise<void> {
    const { listening, connections, closeApp, stopListening, onEmptied, onSilent, onCut } = this.#draining;
    connections.closeAfterResponse();
    stopListening();
    const left = listening.filter(({ queue }) => queue === 'leave');
    const emptied = listening.filter(({ queue }) => queue !== 'leave');
    stopAccepting(left);
    const anyPort = emptied.some(({ queue }) => queue === 'port');
    if (emptied.length > 0) await this.#emptyQueues(anyPort ? this.#start + PORT_GRACE : Infinity);
    stopAccepting(emptied);
    if (emptied.length > 0) onEmptied();

    const idleGrace = Math.min(this.#draining.idleGrace * 1000, this.#patience);
    if (idleGrace === 0) {
      connections.endIdle(idleGrace);
      for (let turns = 0; turns < 3; turns++) await turn();
      onSilent();
    }
    while (performance.now() < this.#deadline && (this.#hurried ? connections.busy : connections.size) > 0) {
      connections.endIdle(idleGrace);
      await sleep(LOOK);
    }

    let closed = false;
    const closing = closeApp().finally(() => {
      closed = true;
    });
    const cutAt = performance.now() + (this.#hurried ? 0 : Math.min(CLOSE_GRACE, this.#patience / 2));
    while (!closed && connections.size > 0 && performance.now() < cutAt) await sleep(LOOK);
    // The app's hooks wait for the connections: what has not ended by now would keep them from running.
    onCut(connections.destroyAll());
    await closing;
    // An upgraded connection that was cut closes within this turn or the next, and is told to the access log then.
    for (let turns = 0; turns < 3; turns++) await turn();
  }

  get #hurried(): boolean {
    return this.#hurriedAt !== Number.POSITIVE_INFINITY;
  }

  get #deadline(): number {
    return Math.min(this.#start + this.#patience, this.#hurriedAt + QUICK_GRACE);
  }

  /**
   * Accepts until nobody waits: connections still in the queue would be reset by closing. One whole turn of the
   * event loop without an accept says that none is left.
   */
  async #emptyQueues(until: number): Promise<void> {
    const { connections } = this.#draining;
    let before: number;
    do {
      before = connections.accepted;
      await turn();
      await turn();
    } while (connections.accepted !== before && performance.now() < Math.min(until, this.#deadline));
  }
}

/** Not the close of http.Server, which ends idle connections under a proxy that may be about to use them. */
function stopAccepting(servers: readonly Accepting[]): void {
  for (const { server } of servers) net.Server.prototype.close.call(server);
}
