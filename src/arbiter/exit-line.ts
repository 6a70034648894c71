/**
 * What the log says when a worker has ended: nothing if that was wanted, otherwise why. Pure.
 */
import type { State, WorkerState } from './state.ts';
import type { WorkerExit } from './worker-handle.ts';

/** A line for the log, without the name of the worker. */
export interface ExitLine {
  level: 'warn' | 'error' | 'fatal';
  text: string;
}

/**
 * Returns the line for a worker that has ended, or undefined if there is nothing to say.
 *
 * @param before the state in which the worker was still there.
 */
export function exitLine(
  before: Pick<State, 'ending' | 'everReady'>,
  worker: WorkerState,
  how: WorkerExit,
): ExitLine | undefined {
  const level = before.everReady ? 'error' : 'fatal';
  const { bootTimeout, gracefulTimeout, timeout } = worker.limits;
  // One that could not be killed for a while, because we were stopped ourselves, may have ended by then.
  const isKilled = 'signal' in how && how.signal === 'SIGKILL';
  switch (isKilled ? worker.killed : undefined) {
    case 'the server is ending':
      return undefined;
    case 'stuck':
      return {
        level: 'error',
        text: `was killed, as its event loop had not turned for ${timeout / 1000} s (--timeout)`,
      };
    case 'graceful timeout':
      return {
        level: 'warn',
        text: `was killed, as it had not ended after ${gracefulTimeout / 1000} s (--graceful-timeout)`,
      };
    case 'quick stop':
      return { level: 'warn', text: 'was killed, as it had not ended in time' };
    case 'boot timeout':
      // The others of a start that has failed were late as well: the reason is said once.
      if (before.ending) return undefined;
      return {
        level,
        text: `was killed, as it was not ready after ${bootTimeout / 1000} s (--boot-timeout): does the app wait for something, or never listen?`,
      };
  }
  if (before.ending || worker.phase === 'retiring') {
    return 'signal' in how ? { level: 'warn', text: `${describe(how)} while it was stopping` } : undefined;
  }
  const when = worker.phase === 'booting' ? ' before it was ready' : '';
  return { level, text: `died: it ${describe(how)}${when}` };
}

/** How a process ended, in words that follow its name. */
export function describe(how: WorkerExit): string {
  if ('error' in how) return `could not be started: ${how.error.message}`;
  if ('code' in how) return `exited with code ${how.code}`;
  return `was ended by ${how.signal}${how.signal === 'SIGKILL' ? ', perhaps because memory ran out' : ''}`;
}
