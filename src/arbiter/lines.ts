/**
 * What the log says about things that go as they should, and about workers that do not answer. Pure; for how workers
 * end see `exit-line.ts`.
 */
import { formatAddress, type SocketAddress } from '../address.ts';
import type { Autopsy } from './autopsy.ts';
import type { Listener } from './listener.ts';
import type { RetireReason } from './plan.ts';

const MIB = 1024 * 1024;

/** `1 worker`, `4 workers`. */
export function countOf(workers: number): string {
  return workers === 1 ? '1 worker' : `${workers} workers`;
}

/** The first line that says that somebody can connect, and how; `shape` is what the app was taken for. */
export function publishedLine(
  [first]: readonly Pick<Listener, 'address'>[],
  shape: string,
  took: number,
  secured: boolean,
): string {
  const { address } = first!;
  return `ready after ${Math.round(took)} ms, serving ${shape}; try: curl ${curlTarget(address, secured)}`;
}

function curlTarget(address: SocketAddress, secured: boolean): string {
  switch (address.kind) {
    case 'unix':
      return `--unix-socket ${inShell(address.path)} http://localhost/`;
    case 'abstract':
      return `--abstract-unix-socket ${inShell(address.name)} http://localhost/`;
    case 'tcp':
      return `${secured ? '-k https' : 'http'}://${formatAddress(address)}/`;
  }
}

/** A word as one may paste it into a shell. */
function inShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Why a worker goes, to follow its name; undefined where that is said for all of them at once. */
export function retireLine(why: RetireReason, generation: number): string | undefined {
  switch (why) {
    case 'stop':
    case 'paused':
      return undefined;
    case 'new generation':
      return `goes: generation ${generation} serves`;
    case 'failed generation':
      return 'goes: its generation has failed';
    case 'scaled down':
      return 'goes: fewer workers are wanted';
    default:
      return `goes: its replacement is ready (${why})`;
  }
}

/** What was found out about a worker that does not answer. */
export function autopsyLine({ stack, inFlight, memory }: Autopsy): { fields: object; text: string } {
  const place = stack.split('\n')[0]?.trim() || 'at an unknown place';
  const requests = inFlight.map(
    ({ method, url, id, age }) => `${method} ${url} (id ${id}, ${Math.round(age)} ms)`,
  );
  const flying = requests.length > 0 ? `; in flight: ${requests.join(', ')}` : '; no request in flight';
  const message = `is blocked ${place}${flying}; rss ${Math.round(memory.rss / MIB)} MiB`;
  const err = Object.assign(new Error('blocked'), { name: 'Blocked', stack: `Blocked\n${stack}` });
  return { fields: { err, inFlight, memory }, text: message };
}

/** A slot waits before it is filled again, in milliseconds. */
export function delayLine(slot: number, failures: number, delay: number): string {
  const often = failures > 1 ? ` ${failures} times in a row` : '';
  return `worker ${slot} died young${often}; the next one starts in ${(delay / 1000).toFixed(1)} s`;
}
