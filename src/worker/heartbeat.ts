/**
 * What a worker tells of itself every second or so: that its event loop turns, and how it fares. Knows how to measure
 * that without waking an idle process more often than it beats.
 */
import { type EventLoopUtilization, performance } from 'node:perf_hooks';
import type { Beat } from '../protocol.ts';
import type { Connections } from './connections.ts';

export interface Heartbeat {
  connections: Pick<Connections, 'requests' | 'inFlight' | 'size'>;
  /** Seconds between two beats. */
  every: number;
  send(beat: Beat): void;
}

/**
 * Sends a beat now, and then again and again. It keeps no process alive.
 *
 * @returns what ends it.
 */
export function startHeartbeat({ connections, every, send }: Heartbeat): () => void {
  const interval = every * 1000;
  let before: EventLoopUtilization | undefined;
  let due = performance.now();
  let memory: Pick<NodeJS.MemoryUsage, 'rss' | 'heapUsed'> = { rss: 0, heapUsed: 0 };

  const beat = () => {
    const delay = Math.max(0, performance.now() - due);
    const now = performance.eventLoopUtilization();
    // The first beat tells of no time at all: before it the app was loaded.
    const utilization = before ? performance.eventLoopUtilization(now, before).utilization : 0;
    before = now;
    try {
      memory = process.memoryUsage();
    } catch {
      // It takes a descriptor, and there may be none left: what was known last is told.
    }
    send({
      requests: connections.requests,
      inFlight: connections.inFlight,
      connections: connections.size,
      rss: memory.rss,
      heap: memory.heapUsed,
      utilization: share(utilization),
      delay: Math.round(delay),
    });
    due = performance.now() + interval;
  };

  beat();
  const timer = setInterval(beat, interval);
  timer.unref();
  return () => clearInterval(timer);
}

/** Three digits from 0 to 1; an event loop that has not turned yet has none, or no number. */
function share(utilization: number): number {
  return Math.round(Math.min(1, Math.max(0, utilization || 0)) * 1000) / 1000;
}
