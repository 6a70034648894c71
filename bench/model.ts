/**
 * The words of the benchmark: server, workload, path, experiment, results. Types only; what there is of each is in the
 * folders of these names, and which of them are measured together is in `plan.ts`.
 */

/** Where a server is to listen. */
export type Endpoint = { kind: 'unix'; path: string } | { kind: 'tcp'; port: number };

/** What a server is started with: alike for all servers of an experiment. */
export interface Site {
  endpoint: Endpoint;
  workers: number;
  /** The binary of the Node that runs it. */
  node: string;
  /** An empty directory of its own, removed afterwards: for logs, configuration and other sockets. */
  directory: string;
  /** The CPUs that it may use; to be handed to `launch`, which pins its process with all children. */
  cpus: readonly number[];
}

/** A server that serves. */
export interface Running {
  /** All its processes as they are now, by role: masters and managers are `arbiter`, whoever runs the app is `worker`. */
  processes(): { pid: number; role: 'arbiter' | 'worker' }[];
  /**
   * Replaces all workers by new ones as its operator would, and resolves once those serve, or its command has ended;
   * absent if it cannot.
   */
  reload?(): Promise<void>;
  /** Ends every process of it, by its id. */
  stop(): Promise<void>;
}

/** A server to be measured; a file each in `servers/`. */
export interface Server {
  /** Such as `bare-fastify`: unique, and stable in result files. */
  id: string;
  /** As tables have it, such as `node:cluster, round-robin`. */
  title: string;
  /** What a reader has to know to read its figures fairly, if anything: `TCP only`, `one process`. */
  note?: string;
  endpoints: readonly Endpoint['kind'][];
  /** Why it cannot be had on this machine and with this Node, such as `pm2 is not installed`; undefined if it can. */
  missing(node: string): string | undefined;
  /** Starts it; resolves once every worker accepts. */
  start(site: Site): Promise<Running>;
}

/** What is asked of the app; a file each in `workloads/`. Every app in `apps/` answers all of them alike. */
export interface Workload {
  id: string;
  title: string;
  method: 'GET' | 'POST';
  path: string;
  /** Bytes of the request's body; absent for none. */
  upload?: number;
  /** What a right answer is, checked on every server before any figure of it counts. */
  answer: { status: number; type: string; bytes: number; body?: string };
}

/** How requests get to the server. */
export type Path =
  /** The load generator speaks to the server's Unix socket. */
  | 'unix'
  /** The load generator speaks to the server on loopback TCP. */
  | 'tcp'
  /** nginx in between, with a pool of connections to the server. */
  | 'nginx-keepalive'
  /** nginx in between, with a connection to the server for each request. */
  | 'nginx-close';

/** Who gets which CPUs. */
export type Layout =
  /** The server has the first half of them, the load generator and nginx have the others: what a CPU of the server can do. */
  | 'apart'
  /** All have all of them, as on a small machine. */
  | 'together';

/** What a figure is, and which way is better. */
export interface Metric {
  id: string;
  title: string;
  unit: string;
  better: 'higher' | 'lower';
}

/** One figure in every round; null where there is none, such as a latency without a single answer. */
export type Series = readonly (number | null)[];

/** What was measured of one server, or of one variant of it. */
export interface Row {
  /** Of the server or the variant, such as `fasticorn` or `fasticorn-node26`. */
  id: string;
  title: string;
  note?: string;
  /** By the id of the metric. */
  figures: Record<string, Series>;
  /**
   * Answers that were wrong or did not come, in all rounds, but for those that are a figure, `lost`; whoever has any of
   * either gets no ratio.
   */
  errors: number;
  /** Whether the load generator, and not the server, was the limit in most rounds: then it is at least so fast. */
  limitedByLoad?: boolean;
}

/** One experiment, measured: rows side by side, round after round. */
export interface Measured {
  id: string;
  title: string;
  /** In words: path, layout, workers, connections, seconds a slice. */
  setting: string;
  /** How often all servers were started anew, with as many rounds each; absent for once. */
  starts?: number;
  /** The id of the row that ratios refer to. */
  baseline: string;
  metrics: readonly Metric[];
  rows: readonly Row[];
}

/** A file in `results/`. */
export interface Results {
  /** What reproduces it. */
  command: string;
  /** ISO 8601, UTC. */
  date: string;
  machine: { cpu: string; cpus: number; memory: string; system: string };
  /** Name and version of everything that took part. */
  versions: Record<string, string>;
  /** What was not measured, and why. */
  absent: readonly { what: string; why: string }[];
  measured: readonly Measured[];
}
