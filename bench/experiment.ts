/**
 * What an experiment is, and what its measurement is given. Types only: which there are is in `plan.ts`, and how each
 * kind is measured in `measure/`.
 */
import type { Shares } from './cpus.ts';
import type { Layout, Metric, Path, Row, Server } from './model.ts';

/** One row: a server, and how it is run and asked. */
export interface Entry {
  /** Of the row: the server's id, and what sets it apart from other rows of the same server. */
  id: string;
  /** The id of the server. */
  server: string;
  /** What follows the server's title, such as `4 workers`. */
  variant?: string;
  /** The major version of the Node that runs it; absent for the one that runs the benchmark. */
  node?: number;
  workers: number;
  path: Path;
  /** The id of the workload. */
  workload: string;
  /** Connections of the load generator. */
  connections: number;
  /** Requests a second, of all connections together; absent for as many as can be. */
  rate?: number;
  /** Connections to the server that are open and silent all the time. */
  idle?: number;
}

/** What is measured, and by which file in `measure/`. */
export type Kind = 'load' | 'startup' | 'memory' | 'wakeups' | 'reload';

/** Rows that are measured side by side. */
export interface Experiment {
  id: string;
  title: string;
  kind: Kind;
  layout: Layout;
  entries: readonly Entry[];
  /** The id of the row that ratios refer to. */
  baseline: string;
  /** The metric that ratios are made of, where it is not the first of its kind. */
  main?: string;
  /** Rounds of a full run. */
  rounds: number;
  /**
   * How often all servers are started anew during a full run of a load; once unless it is said. V8 compiles every process
   * in a way of its own, which makes up to a tenth of a difference between two of the same server: rounds of one start are
   * nearer to each other than to the truth.
   */
  starts?: number;
  /**
   * How long each server is warmed up for a load, in seconds for each of its workers, as they share a CPU: until compilers
   * have done most of their work.
   */
  warmUp?: number;
  /** How long a slice of a full run takes, in seconds. */
  seconds: number;
  /** What a quick run has of it: the ids of rows, and rounds. */
  quick?: { rows: readonly string[]; rounds: number };
}

/** What a measurement has to work with. */
export interface Bench {
  servers: readonly Server[];
  cpus: Shares;
  /** Tells whoever waits. */
  progress(text: string): void;
  /** Says that something was not measured, and why. */
  absent(what: string, why: string): void;
}

/** What a kind of measurement can do. */
export interface Measurement {
  /** The first is the main one, unless the experiment has another. */
  metrics: readonly Metric[];
  /** Why it cannot be done here, such as for want of h2load; undefined if it can. */
  missing(): string | undefined;
  /** About how long an experiment takes, in seconds. */
  estimate(experiment: Experiment): number;
  /** Measures all rows; those that cannot be had are left out, and told to `bench.absent`. */
  measure(experiment: Experiment, bench: Bench): Promise<Row[]>;
}
