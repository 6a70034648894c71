/**
 * THE verb table: what an operator can ask of a running server. The arbiter's signals, the command line, the control
 * socket and the README's tables are all made from it. Pure: `arbiter.ts` does what is asked.
 */

/** The name of a signal. */
export type Signal = `SIG${string}`;

/** One row of the table. */
export interface Verb {
  /** The signals that ask for it, each with the argument that it stands for. */
  signals: Partial<Record<Signal, string | undefined>>;
  /** What may follow the verb, for people; absent if nothing may. */
  argument?: string;
  /** Returns whether the argument is right; absent if there must be none. */
  accepts?: (argument: string | undefined) => boolean;
  /** Whether the answer comes only when it is done, which may take a while, rather than when it has begun. */
  waits: boolean;
  /** One sentence or two. */
  help: string;
}

const verb = (row: Verb): Verb => row;

export const verbs = {
  reload: verb({
    signals: { SIGHUP: undefined },
    waits: true,
    help: 'Read the config file again and start a new generation of workers with fresh code. The old ones go when every new one is ready; if that fails, nothing changes.',
  }),
  upgrade: verb({
    signals: { SIGUSR2: undefined },
    waits: true,
    help: 'Start a new arbiter, from the fasticorn and the Node that are installed now, which inherits the sockets. When its workers are ready this one drains and goes.',
  }),
  scale: verb({
    signals: { SIGTTIN: '+1', SIGTTOU: '-1' },
    argument: 'N|+N|-N',
    accepts: (argument) => argument !== undefined && /^[+-]?\d{1,4}$/.test(argument),
    waits: false,
    help: 'Run so many workers, or so many more or fewer; never less than one.',
  }),
  pause: verb({
    signals: { SIGWINCH: undefined },
    waits: false,
    help: 'Retire all workers and keep the socket: requests queue. On a terminal the signal is ignored, as resizing sends it.',
  }),
  resume: verb({
    signals: {},
    waits: false,
    help: 'Bring the workers back after a pause; reload, upgrade and scaling up do so as well.',
  }),
  reopen: verb({
    signals: { SIGUSR1: undefined },
    waits: false,
    help: 'Open all log files anew, in all workers, after they were moved away.',
  }),
  stop: verb({
    signals: { SIGTERM: undefined, SIGINT: 'now', SIGQUIT: 'now' },
    argument: 'now',
    accepts: (argument) => argument === undefined || argument === 'now',
    waits: true,
    help: 'Finish everything that has begun, then end. With `now` requests in flight have one second; asked once more, all ends at once.',
  }),
};

/** What the control socket shows, by the name of the page. */
export const pages = {
  status:
    'Everything: arbiter, workers with their numbers, last exits with reasons, accept queues, settings and where each came from. What `fasticorn status --json` prints.',
  healthz: '200 while at least one current worker is ready, otherwise 503.',
  readyz: '200 while the server wants traffic, 503 also while it is paused or stopping.',
} as const;

/** The name of a verb: `reload`. */
export type VerbName = keyof typeof verbs;

/** The names of all verbs, in the table's order. */
export const verbNames = Object.keys(verbs) as VerbName[];

/** A wish of the operator. */
export interface Command {
  verb: VerbName;
  argument?: string | undefined;
}

/** What became of a wish: one line for people, and the app's stack if that is the reason. */
export interface Outcome {
  ok: boolean;
  message: string;
  stack?: string | undefined;
}

/** The signals that the arbiter listens to, and what each asks for. All others keep the system's meaning. */
export const signals = Object.fromEntries(
  verbNames.flatMap((name) =>
    Object.entries(verbs[name].signals).map(([signal, argument]) => [signal, { verb: name, argument }]),
  ),
) as Record<Signal, Command>;

/** The number of workers that an argument of `scale` asks for, given how many are wanted now. */
export function scaled(wanted: number, argument: string): number {
  const number = Number(argument);
  return Math.min(1024, Math.max(1, /^[+-]/.test(argument) ? wanted + number : number));
}
