/**
 * Who else has the name of a Unix socket. Asks the kernel and changes nothing; what follows from the answer is the
 * business of `socket-path.ts`.
 */
import { lstatSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, UserError } from '../errors.ts';

/** How long connect(2) to somebody else's socket may take until silence counts as alive, in milliseconds. */
const PROBE_TIMEOUT = 1000;
/** How long the orphans of a killed arbiter may take to remove the name, in milliseconds. */
const ORPHAN_GRACE = 500;

/** Who listens on a socket file: nobody, somebody, or what connect(2) failed with. */
export type Occupant = 'dead' | 'gone' | 'live' | { error: string };

/**
 * Makes sure that nothing is at the path but, perhaps, a dead socket.
 *
 * @param takeover whether a live one may be there too: its server will be asked to go.
 * @throws UserError that says what is in the way.
 */
export async function assertFree(path: string, takeover: boolean): Promise<void> {
  // The workers of an arbiter killed a moment ago answer until they have noticed, and then remove the name.
  const until = performance.now() + ORPHAN_GRACE;
  for (;;) {
    const obstacle = await obstacleAt(path);
    if (!obstacle || (takeover && obstacle.live)) return;
    if (!obstacle.mayPass || performance.now() >= until) throw refusal(path, obstacle.reason);
    await sleep(50);
  }
}

/** The error that says why a path cannot be had. */
export function refusal(path: string, reason: string): UserError {
  return new UserError(`--bind unix:${path}: ${reason}`);
}

interface Obstacle {
  reason: string;
  /** Whether waiting may help. */
  mayPass: boolean;
  /** Whether it is a server. */
  live?: boolean;
}

/** Says what keeps us from the path; undefined if nothing is there, or only a dead socket. */
export async function obstacleAt(path: string): Promise<Obstacle | undefined> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat) return undefined;
  if (!stat.isSocket())
    return { reason: 'there is a file that is not a socket; it was left alone', mayPass: false };
  const found = await probe(path);
  if (found === 'dead' || found === 'gone') return undefined;
  if (found === 'live') {
    return {
      reason:
        'another server is listening there; stop it first, choose another path, or start with --takeover',
      mayPass: true,
      live: true,
    };
  }
  const what = UNKNOWN[found.error] ?? 'somebody may be listening there';
  const full = found.error === 'EAGAIN';
  return { reason: `${what} (${found.error}); it was left alone`, mayPass: full, live: full };
}

/** What an error of connect(2) says about who is there. */
const UNKNOWN: Record<string, string> = {
  EAGAIN: 'another server is there, with a full queue',
  EACCES: 'no permission to ask who is listening there',
  EPROTOTYPE: 'there is a socket of another type',
};

/**
 * Asks the kernel whether anybody listens on a socket file. Only ECONNREFUSED proves that nobody does; anything
 * unexpected is returned as its error code.
 */
export function probe(path: string): Promise<Occupant> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const timer = setTimeout(() => settle({ error: 'no answer' }), PROBE_TIMEOUT);
    const settle = (result: Occupant) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    socket.on('connect', () => settle('live'));
    socket.on('error', (error) => {
      const code = errorCode(error) ?? error.message;
      settle(code === 'ECONNREFUSED' ? 'dead' : code === 'ENOENT' ? 'gone' : { error: code });
    });
  });
}
