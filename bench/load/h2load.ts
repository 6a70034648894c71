/**
 * h2load, which makes the load: HTTP/1.1 over a Unix socket or TCP, with a thread for each CPU that it may use, either as
 * fast as answers come for a fixed time, or as many requests at a fixed rate as belong to that time. Counts and times
 * every request; what is asked, and of whom, others say.
 *
 * At a fixed rate clients begin one after the other: all at once they would send in step for ever, and what is measured
 * would be how a burst is worked off. A client whose answer is late sends its next request late: what is measured is how
 * long answers take, not how long a queue before the server was. Otherwise requests under way at the end are neither
 * answers nor errors.
 *
 * For a fixed time it does not say that connections were cut: their clients are silent from then on, and the requests that
 * they had under way look like those of all others at the end. But its sockets are fewer then; of connections that are
 * cut in the last tenth of a second nobody knows.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { launch } from '../launch.ts';
import type { Endpoint, Workload } from '../model.ts';
import { cpuTime, hasProc, openSockets } from '../proc.ts';
import { percentile } from '../statistics.ts';

/** How long it may take beyond its time, in milliseconds. */
const OVERTIME = 15_000;
/** How often its CPU time is read, in milliseconds; what comes after the last time is not seen. */
const LOOK = 50;
/** Its sockets are counted so long before its time is over, in milliseconds: for a thousand that takes some. */
const LAST_LOOKS = 3 * LOOK;
/** At a fixed rate new clients begin so often, in milliseconds: as many as have requests to send in that time. */
const BEGIN_EVERY = 5;

export interface Slice {
  endpoint: Endpoint;
  workload: Workload;
  connections: number;
  seconds: number;
  /** Requests a second of all connections together; absent for as many as can be. */
  rate?: number;
  cpus: readonly number[];
  /** An empty directory, for its files. */
  directory: string;
}

/** What came of it. */
export interface Outcome {
  answers: number;
  /** Answers with another status than is right, and requests without one, as far as it is known of them. */
  errors: number;
  /** Answers per second. */
  rate: number;
  /** Milliseconds that half, 99 %, and 99.9 % of the requests took at most; null where there are too few. */
  p50: number | null;
  p99: number | null;
  p999: number | null;
  /** How much of the time of its threads it used itself, 0 to 1; undefined if the system does not tell. */
  busy: number | undefined;
}

/** What `h2load --version` says, such as `1.52.0`; undefined if there is none. */
export function h2loadVersion(): string | undefined {
  const { stdout } = spawnSync('h2load', ['--version'], { encoding: 'utf8' });
  return /nghttp2\/([\d.]+)/.exec(stdout ?? '')?.[1];
}

/**
 * Loads a server for a while.
 *
 * @throws Error if it cannot connect, or does not end in time.
 */
export async function h2load(slice: Slice): Promise<Outcome> {
  const { cpus, directory, seconds, workload, connections, rate } = slice;
  const [log, samples, body] = ['h2load.log', 'samples', 'body'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  if (workload.upload !== undefined) writeFileSync(body, Buffer.alloc(workload.upload));
  // What was said of another slice would be read again.
  rmSync(log, { force: true });
  const process = launch('h2load', [...argumentsFor(slice, { samples, body })], { cpus, log });

  let busy: number | undefined;
  let lastCount = { at: 0, sockets: connections };
  let hasEnded = false;
  const begin = performance.now();
  const ended = process.exited.finally(() => {
    hasEnded = true;
  });
  while (!hasEnded) {
    await Promise.race([ended, sleep(LOOK)]);
    const elapsed = performance.now() - begin;
    const used = cpuTime(process.pid);
    if (used) busy = used / 1000 / elapsed / threadsFor(slice);
    if (rate === undefined && hasProc && elapsed > seconds * 1000 - LAST_LOOKS) {
      const sockets = openSockets(process.pid);
      // Its time began after ours, and is not over. Then it closes them itself.
      if (performance.now() - begin < seconds * 1000) lastCount = { at: elapsed, sockets };
    }
    if (elapsed > seconds * 1000 + OVERTIME) {
      await process.stop();
      throw new Error(`h2load has not ended ${OVERTIME / 1000} s after its time`);
    }
  }
  const { code } = await ended;
  const elapsed = performance.now() - begin;
  const said = readFileSync(log, 'utf8');
  if (code !== 0) throw complaint(said);
  const taken = secondsTaken(said);
  const found = outcome(said, readFileSync(samples), rate === undefined ? seconds : taken);
  // Megabytes a second.
  rmSync(samples);
  // On a busy machine it may have been about to connect.
  const hadBegun = lastCount.at > elapsed - taken * 1000 + LOOK;
  return { ...found, errors: found.errors + (hadBegun ? connections - lastCount.sockets : 0), busy };
}

/** How many threads it has: one without a connection would be none. */
export const threadsFor = ({ cpus, connections }: Pick<Slice, 'cpus' | 'connections'>) =>
  Math.min(cpus.length, connections);

/** Exported for tests. */
export function argumentsFor(
  { endpoint, workload, connections, seconds, rate, cpus }: Omit<Slice, 'directory'>,
  files: { samples: string; body: string },
): string[] {
  const authority = endpoint.kind === 'unix' ? 'localhost' : `127.0.0.1:${endpoint.port}`;
  return [
    '--h1',
    `--threads=${threadsFor({ cpus, connections })}`,
    `--clients=${connections}`,
    `--log-file=${files.samples}`,
    ...(endpoint.kind === 'unix' ? [`--base-uri=unix:${endpoint.path}`] : []),
    ...(rate === undefined
      ? [`--duration=${Math.round(seconds * 1000)}ms`]
      : [
          `--requests=${Math.round(rate * seconds)}`,
          `--rps=${rate / connections}`,
          `--rate=${Math.min(connections, Math.ceil((rate * BEGIN_EVERY) / 1000))}`,
          `--rate-period=${BEGIN_EVERY}ms`,
        ]),
    ...(workload.upload === undefined
      ? []
      : [`--data=${files.body}`, '--header=content-type: application/octet-stream']),
    `http://${authority}${workload.path}`,
  ];
}

/**
 * Reads what it said at its end, and its list of requests: begin, status, and microseconds, with tabs between.
 * Exported for tests.
 */
export function outcome(said: string, samples: Uint8Array, seconds: number): Omit<Outcome, 'busy'> {
  const [, total, succeeded] = /^requests: (\d+) total, .* (\d+) succeeded,/m.exec(said) ?? [];
  if (total === undefined) throw complaint(said);
  const answers = Number(succeeded);
  const times = durations(samples).sort();
  const milliseconds = (part: number) => {
    const found = percentile(times, part);
    return found === null ? null : found / 1000;
  };
  return {
    answers,
    errors: Number(total) - answers,
    rate: answers / seconds,
    p50: milliseconds(0.5),
    p99: milliseconds(0.99),
    p999: milliseconds(0.999),
  };
}

/**
 * Reads how long all of it took; at a fixed rate longer than it should if the server cannot keep up. Exported for tests.
 */
export function secondsTaken(said: string): number {
  const [, number, unit] = /^finished in ([\d.]+)(us|ms|s),/m.exec(said) ?? [];
  if (number === undefined) throw complaint(said);
  return Number(number) / { s: 1, ms: 1e3, us: 1e6 }[unit as 's' | 'ms' | 'us'];
}

/** What it said last is why it could not do it. */
const complaint = (said: string) => new Error(`h2load: ${said.trim().split('\n').at(-1)}`);

/** The last column of every line. By hand: a second of it may be 200,000 lines. */
function durations(samples: Uint8Array): Uint32Array {
  const [tab, newline, zero] = [9, 10, 48];
  const found: number[] = [];
  let value = 0;
  for (const byte of samples) {
    if (byte === newline) found.push(value);
    value = byte === newline || byte === tab ? 0 : value * 10 + byte - zero;
  }
  return Uint32Array.from(found);
}
