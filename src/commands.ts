/**
 * What an operator can ask of a running server, and the signals that ask for it. Pure: `arbiter.ts` does it.
 */

/** A wish of the operator. `ignore` stands for signals that have a meaning in Gunicorn but none here. */
export type Verb = 'stop' | 'stop-now' | 'ignore';

/** The signals that the arbiter listens to. All others keep the system's meaning. */
export const signals: Partial<Record<NodeJS.Signals, Verb>> = {
  SIGTERM: 'stop',
  SIGINT: 'stop-now',
  SIGQUIT: 'stop-now',
  // By default each of these would end or stop the arbiter, or open Node's debugger port.
  SIGHUP: 'ignore',
  SIGUSR1: 'ignore',
  SIGUSR2: 'ignore',
  SIGTTIN: 'ignore',
  SIGTTOU: 'ignore',
};
