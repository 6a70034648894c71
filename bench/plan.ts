/**
 * The experiments: which servers are measured side by side, how they are run, and what is asked of them. Declarations
 * only; a quick run has some rows of some of them, and fewer rounds.
 */
import type { Entry, Experiment } from './experiment.ts';

/** The major versions of Node that fasticorn is measured with. */
export const NODES = [20, 22, 24, 26] as const;

/** What rows have unless they say otherwise. */
const USUAL = { workers: 2, path: 'unix', workload: 'hello', connections: 64 } as const;

function row(server: string, more: Partial<Omit<Entry, 'id' | 'server'>> & { as?: string } = {}): Entry {
  const { as, ...how } = more;
  return { ...USUAL, id: as === undefined ? server : `${server}-${as}`, server, ...how };
}

const rows = (servers: readonly string[], more: Partial<Omit<Entry, 'id' | 'server'>> = {}): Entry[] =>
  servers.map((server) => row(server, more));

/** Each server in each variant, variants of a server beside each other. */
const variants = (servers: readonly string[], all: readonly Parameters<typeof row>[1][]): Entry[] =>
  servers.flatMap((server) => all.map((more) => row(server, more)));

const OURS = ['fasticorn', 'fasticorn-no-log'];
const CLUSTER = ['cluster-round-robin', 'cluster-shared'];
const PYTHON = ['gunicorn-flask', 'gunicorn-asgi', 'gunicorn-uvicorn', 'uvicorn-fastapi', 'uvicorn-asgi'];
const MANAGERS = [
  'fasticorn',
  'bare-fastify',
  'cluster-round-robin',
  'fastify-cli',
  'pm2',
  'watt',
  ...PYTHON,
];
/**
 * Where it does not matter how connections are shared among workers: there are not so many CPUs, and on a Unix socket one of
 * two may get them all.
 */
const ALONE = { workers: 1 } as const;
/** Who stands for its kind where all would be too many. */
const FEW = ['fasticorn', 'bare-fastify', 'bare-http', 'gunicorn-uvicorn'];
const PAIR = ['fasticorn', 'bare-fastify'];
const MIXED = ['fasticorn', 'bare-fastify', ...CLUSTER, 'pm2', 'gunicorn-uvicorn'];

/** Of a load. */
const loaded = {
  kind: 'load',
  layout: 'apart',
  baseline: 'bare-fastify',
  rounds: 7,
  seconds: 0.7,
  warmUp: 1.75,
} as const;

/** Of a load where some requests burn CPU. */
const mixed = {
  ...loaded,
  layout: 'together',
  main: 'p99',
  rounds: 4,
  // Of 5 % at random there are to be some.
  seconds: 4,
} as const;
/** A request takes 1 ms on average: the workers are busy for 40 % of the time. */
const BURNING = { workload: 'mixed', rate: 800, connections: 32 } as const;

export const experiments: readonly Experiment[] = [
  {
    ...loaded,
    id: 'hello',
    title: 'Hello world, straight to the server',
    warmUp: 2.5,
    entries: rows([
      ...OURS,
      'fasticorn-no-logger',
      'bare-fastify',
      'bare-http',
      ...CLUSTER,
      'fastify-cli',
      'pm2',
      'watt',
      ...PYTHON,
    ]),
    quick: { rounds: 3, rows: [...OURS, 'bare-fastify', 'bare-http', 'cluster-round-robin'] },
  },
  {
    ...loaded,
    id: 'nginx',
    title: 'Hello world behind nginx with a pool of connections',
    entries: rows(
      [...OURS, 'bare-fastify', 'cluster-round-robin', 'pm2', 'watt', 'gunicorn-flask', 'gunicorn-uvicorn'],
      { path: 'nginx-keepalive' },
    ),
    quick: { rounds: 3, rows: ['fasticorn', 'bare-fastify', 'pm2', 'gunicorn-uvicorn'] },
  },
  {
    ...loaded,
    id: 'nginx-close',
    title: 'Hello world behind nginx with a connection for each request',
    entries: rows(
      [...OURS, 'bare-fastify', 'cluster-round-robin', 'pm2', 'gunicorn-flask', 'gunicorn-uvicorn'],
      { path: 'nginx-close' },
    ),
  },
  {
    ...loaded,
    id: 'paths',
    title: 'Hello world by Unix socket and by TCP',
    baseline: 'fasticorn-tcp',
    entries: variants(PAIR, [ALONE, { ...ALONE, as: 'tcp', variant: 'TCP', path: 'tcp' }]),
  },
  {
    ...loaded,
    id: 'overhead',
    title: 'What fasticorn and its access log cost',
    // A round for each start.
    rounds: 5,
    starts: 5,
    seconds: 1.4,
    warmUp: 2.8,
    entries: rows([
      ...OURS,
      'fasticorn-no-logger',
      'bare-fastify',
      'bare-fastify-tuned',
      'bare-fastify-silent',
      'bare-fastify-lines',
      'bare-fastify-logger',
      'cluster-round-robin',
    ]),
  },
  {
    ...loaded,
    id: 'json-1k',
    title: '1 KB of JSON',
    entries: rows(FEW, { ...ALONE, workload: 'json-1k' }),
  },
  {
    ...loaded,
    id: 'json-100k',
    title: '100 KB of JSON',
    entries: rows(FEW, { ...ALONE, workload: 'json-100k', connections: 16 }),
  },
  {
    ...loaded,
    id: 'upload',
    title: 'Uploads of 1 MB',
    entries: rows(FEW, { ...ALONE, workload: 'upload-1m', connections: 8 }),
    // How often V8 collects its heap for buffers goes up and down.
    seconds: 2,
  },
  {
    ...loaded,
    id: 'download',
    title: 'Streamed downloads of 10 MB',
    entries: rows(FEW, { ...ALONE, workload: 'download-10m', connections: 4 }),
  },
  {
    ...loaded,
    id: 'wait',
    title: 'A handler that awaits 10 ms',
    entries: rows(FEW, { ...ALONE, workload: 'wait-10ms', connections: 256 }),
  },
  {
    ...mixed,
    id: 'mixed',
    title: 'Tail latency where 5 % of requests burn 20 ms of CPU',
    entries: rows(MIXED, BURNING),
  },
  {
    ...mixed,
    id: 'mixed-close',
    title: 'Tail latency of the same behind nginx with a connection for each request',
    entries: rows(MIXED, { ...BURNING, path: 'nginx-close' }),
  },
  {
    ...loaded,
    id: 'idle',
    title: '10,000 idle keep-alive connections beside the load',
    entries: variants(
      [...PAIR, 'cluster-round-robin', 'gunicorn-uvicorn'],
      [ALONE, { ...ALONE, as: 'idle', variant: '10,000 idle', idle: 10_000 }],
    ),
  },
  {
    ...loaded,
    id: 'nodes',
    title: 'Versions of Node',
    entries: [
      row('bare-fastify', ALONE),
      ...variants(
        PAIR,
        NODES.map((node) => ({ ...ALONE, as: `node${node}`, variant: `Node ${node}`, node })),
      ),
    ],
  },
  {
    ...loaded,
    id: 'workers',
    title: 'How cost grows with workers',
    main: 'cpu',
    entries: [
      row('bare-fastify'),
      ...variants(
        PAIR,
        [1, 2, 4, 8].map((workers) => ({
          as: `${workers}-workers`,
          workers,
          variant: workers === 1 ? '1 worker' : `${workers} workers`,
        })),
      ).filter(({ id }) => id !== 'bare-fastify-2-workers'),
    ],
  },
  {
    ...loaded,
    id: 'connections',
    title: 'How cost grows with connections',
    main: 'cpu',
    entries: [
      row('bare-fastify', { ...ALONE, variant: '64 connections' }),
      ...variants(PAIR, [
        { ...ALONE, as: '1-connection', variant: '1 connection', connections: 1 },
        { ...ALONE, as: '10-connections', variant: '10 connections', connections: 10 },
        { ...ALONE, as: '100-connections', variant: '100 connections', connections: 100 },
        { ...ALONE, as: '1000-connections', variant: '1,000 connections', connections: 1000 },
        {
          ...ALONE,
          as: '10000-connections',
          variant: '10,000 connections, 100 of them busy',
          connections: 100,
          idle: 9900,
        },
      ]),
    ],
  },
  {
    ...loaded,
    id: 'limits',
    title: 'What the load generator and nginx can do',
    baseline: 'nginx-return',
    rounds: 6,
    entries: [
      row('nginx-return'),
      row('nginx-return', { as: 'tcp', variant: 'TCP', path: 'tcp' }),
      row('nginx-return', { as: 'keepalive', variant: 'nginx with a pool', path: 'nginx-keepalive' }),
      row('nginx-return', { as: 'close', variant: 'nginx without a pool', path: 'nginx-close' }),
    ],
    quick: { rounds: 2, rows: ['nginx-return', 'nginx-return-keepalive'] },
  },
  {
    id: 'startup',
    title: 'From the start to the first good answer',
    kind: 'startup',
    // Nothing else runs, and a server may use what there is.
    layout: 'together',
    baseline: 'node-app',
    rounds: 7,
    seconds: 0,
    entries: rows(['node-app', ...MANAGERS], { workers: 1 }),
    quick: { rounds: 3, rows: ['node-app', 'fasticorn', 'bare-fastify', 'pm2', 'gunicorn-flask'] },
  },
  {
    id: 'memory',
    title: 'Memory',
    kind: 'memory',
    layout: 'apart',
    baseline: 'bare-fastify',
    rounds: 3,
    seconds: 0,
    entries: rows([...MANAGERS, 'bare-fastify-silent']),
    quick: { rounds: 2, rows: ['fasticorn', 'bare-fastify', 'pm2', 'gunicorn-flask'] },
  },
  {
    id: 'wakeups',
    title: 'At rest',
    kind: 'wakeups',
    layout: 'apart',
    baseline: 'gunicorn-flask',
    rounds: 5,
    seconds: 4,
    entries: rows(MANAGERS),
    quick: { rounds: 2, rows: ['fasticorn', 'bare-fastify', 'pm2', 'gunicorn-flask'] },
  },
  {
    id: 'reload',
    title: 'Replacing all workers under load',
    kind: 'reload',
    layout: 'apart',
    baseline: 'fasticorn',
    rounds: 3,
    seconds: 0,
    entries: rows([
      'fasticorn',
      'fasticorn-slow-app',
      'pm2',
      'watt',
      'gunicorn-flask',
      'gunicorn-asgi',
      'gunicorn-uvicorn',
      'uvicorn-fastapi',
    ]),
    quick: { rounds: 2, rows: ['fasticorn', 'pm2', 'gunicorn-flask'] },
  },
];
