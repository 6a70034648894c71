/**
 * The traffic of the chaos suite: through nginx and straight to the socket at the same time, every answer checked,
 * and every answer accounted for in the access log. Knows what may go wrong in which kind of phase, and that nothing
 * else may.
 */
import assert from 'node:assert/strict';
import { LineCount } from './line-count.ts';
import { type LoadOptions, load } from './load.ts';
import type { Nginx } from './nginx.ts';
import { until } from './server.ts';

/** A way that requests take. */
interface Lane {
  name: string;
  to: LoadOptions['to'];
  keepAlive: boolean;
  nginx?: Nginx;
}

/** What a phase sends, and what may become of it. */
interface Phase {
  /** Which of the lanes. */
  lanes: (lane: Lane) => boolean;
  methods: readonly ('GET' | 'POST')[];
  /** Lines that nginx may write to its error log. */
  errors?: RegExp;
  /** Whether there may be no name to connect to: then a connection may be refused, which nginx answers 502. */
  mayRefuse?: true;
  /** Whether workers are killed: then what they have answered last may be missing in the access log. */
  losesLines?: true;
}

const phases = {
  /** Of all these not one request may be lost. */
  everything: { lanes: () => true, methods: ['GET', 'POST'] },
  /** When workers are killed: nginx sends these again, and not one may be lost either. */
  repeatable: {
    lanes: ({ nginx }) => nginx !== undefined,
    methods: ['GET'],
    errors: /prematurely closed|reset by peer|Broken pipe/,
    losesLines: true,
  },
  /** When the name of the socket goes: who is connected, or in the queue, loses nothing. */
  nameless: {
    lanes: () => true,
    methods: ['GET', 'POST'],
    errors: /connect\(\) to unix:\S+ failed \((2: No such file|111: Connection refused)/,
    mayRefuse: true,
  },
  /** When the disk is full. */
  unlogged: { lanes: () => true, methods: ['GET', 'POST'], losesLines: true },
} satisfies Record<string, Phase>;

/** `everything` unless a step needs another. */
export type PhaseName = keyof typeof phases;

/** How long the app takes for a request, in milliseconds; it tells apart those that are to be in the access log. */
const LOGGED = 5;
const UNLOGGED = 6;

/** What was sent on a lane, and what became of it. */
export interface Total {
  sent: number;
  good: number;
  refused: number;
  lost: number;
}

export interface TrafficOptions {
  socket: string;
  /** By what they are called. */
  nginx: Record<string, Nginx>;
  /** The directory of the access logs, whose names begin with `access`. */
  logs: string;
  /** Of each lane. */
  connections: number;
  /** Ends all load, whatever happens. */
  seconds: number;
  /** Told at once of each request that was lost. */
  onLost: (problem: string) => void;
}

/** Sends requests from `begin` to `end`, in phases. */
export class Traffic {
  readonly #options: TrafficOptions;
  readonly #lanes: Lane[];
  readonly #lines: LineCount;
  readonly totals: Record<string, Total> = {};
  /** How much of each nginx's error log has been judged. */
  readonly #judged = new Map<Nginx, number>();
  #phase: PhaseName | undefined;
  #enough = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #answered = 0;

  constructor(options: TrafficOptions) {
    this.#options = options;
    const { socket, nginx } = options;
    this.#lanes = [
      { name: 'socket, connections used again', to: { socketPath: socket }, keepAlive: true },
      { name: 'socket, a connection per request', to: { socketPath: socket }, keepAlive: false },
      ...Object.entries(nginx).map(([name, one]) => ({
        ...{ name, to: { port: one.port }, keepAlive: true, nginx: one },
      })),
    ];
    this.#lines = new LineCount(options.logs, 'access', isLogged);
  }

  /** How many requests were answered rightly, whatever the lane. */
  get good(): number {
    return Object.values(this.totals).reduce((sum, { good }) => sum + good, 0);
  }

  /** Goes on with this phase, once everything that was sent in another one has been judged. */
  async become(name: PhaseName): Promise<void> {
    if (this.#phase === name) return;
    await this.end();
    this.#phase = name;
    const phase: Phase = phases[name];
    this.#enough = new AbortController();
    const lanes = this.#lanes.filter(phase.lanes);
    this.#running = Promise.all(lanes.map((lane) => this.#run(lane, phase))).then(() => {});
    this.#running.catch(() => {});
  }

  /** Stops sending, and judges. */
  async end(): Promise<void> {
    if (!this.#phase) return;
    const phase: Phase = phases[this.#phase];
    this.#phase = undefined;
    this.#enough.abort();
    await this.#running;
    await this.#judgeErrors(phase);
    if (!phase.losesLines) await this.#judgeLines();
  }

  async #run(lane: Lane, phase: Phase): Promise<void> {
    const { onLost, connections, seconds } = this.#options;
    let refused = 0;
    const { sent, good, bad, ...rest } = await load({
      ...{ to: lane.to, keepAlive: lane.keepAlive, methods: phase.methods, connections },
      ...{ signal: this.#enough.signal, seconds, count: 1000 * seconds },
      delay: phase.losesLines ? UNLOGGED : LOGGED,
      onBad: (problem) => {
        if (phase.mayRefuse && lane.nginx && /^(GET|POST): 502 /.test(problem)) refused++;
        else onLost(`${lane.name}: ${problem}`);
      },
    });
    if (!phase.mayRefuse && rest.refused > 0)
      onLost(`${lane.name}: ${rest.refused} connections were refused`);
    refused += rest.refused;
    if (!phase.losesLines) this.#answered += good;
    this.totals[lane.name] ??= { sent: 0, good: 0, refused: 0, lost: 0 };
    const total = this.totals[lane.name]!;
    total.sent += sent;
    total.good += good;
    total.refused += refused;
    total.lost += bad.length + rest.refused - (phase.mayRefuse ? refused : 0);
  }

  /** What nginx complains of has to be explained by the phase. */
  async #judgeErrors({ errors }: Phase): Promise<void> {
    for (const { nginx } of this.#lanes) {
      if (!nginx) continue;
      const text = await nginx.errorLog();
      const added = text.slice(this.#judged.get(nginx) ?? 0);
      this.#judged.set(nginx, text.length);
      const unexplained = added.split('\n').filter((line) => line && !errors?.test(line));
      assert.deepEqual(unexplained.slice(0, 5), [], 'in the error log of nginx');
    }
  }

  /** Exactly one line in the access log for each answer. */
  async #judgeLines(): Promise<void> {
    const lines = () => this.#lines.count();
    await until(() => lines() >= this.#answered, 'a line in the access log for every answer', 15).catch(
      () => {},
    );
    assert.equal(lines(), this.#answered, 'lines in the access log, and answers');
  }
}

function isLogged(line: string): boolean {
  const { url } = JSON.parse(line) as { url: string };
  return url.endsWith(`delay=${LOGGED}`);
}
