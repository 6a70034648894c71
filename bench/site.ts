/**
 * Servers that are being measured: each with a directory, an address, and processes of its own. What is measured is the
 * business of `measure/`.
 */
import { once } from 'node:events';
import { readdirSync, rmSync, truncateSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import type { Bench, Entry, Experiment } from './experiment.ts';
import { check } from './load/check.ts';
import type { Endpoint, Running, Server, Site } from './model.ts';
import { nodeOf } from './nodes.ts';
import { newDirectory } from './scratch.ts';
import { workloadOf } from './workloads/index.ts';

/** A server, and what it is to be started with. */
export interface Prepared {
  server: Server;
  site: Site;
}

/** One that runs. */
interface Started extends Prepared {
  running: Running;
  /** What its start took, in seconds. */
  startTook: number;
}

/** A row whose server runs. */
export interface Live extends Started {
  entry: Entry;
}

/** What the row is called. */
export const titleOf = (entry: Entry, { title }: Server) =>
  entry.variant ? `${title}, ${entry.variant}` : title;

/**
 * A fresh site for a row.
 *
 * @throws Error if the server cannot be had.
 */
export async function prepare(entry: Entry, { servers, cpus }: Bench): Promise<Prepared> {
  const server = servers.find(({ id }) => id === entry.server);
  if (!server) throw new Error(`there is no server "${entry.server}"`);
  const node = entry.node === undefined ? process.execPath : nodeOf(entry.node);
  if (!node) throw new Error(`Node ${entry.node} is not installed; bench/peers/install does that`);
  const why = server.missing(node);
  if (why) throw new Error(why);
  const directory = newDirectory();
  const wanted = entry.path === 'tcp' ? 'tcp' : 'unix';
  const kind = server.endpoints.includes(wanted) ? wanted : server.endpoints[0]!;
  const endpoint: Endpoint =
    kind === 'unix' ? { kind, path: join(directory, 'app.sock') } : { kind, port: await freePort() };
  return { server, site: { endpoint, workers: entry.workers, node, directory, cpus: cpus.server } };
}

/**
 * Empties what a server has logged so far. A machine that runs for long writes to memory that old pages of files have left;
 * a log that only grows would have a virtual one ask its host for new memory instead, at ten times the price of the copy.
 */
export function emptyLogs({ directory }: Site): void {
  for (const name of readdirSync(directory)) if (name.endsWith('log')) truncateSync(join(directory, name));
}

/** The same for rows of which one can be served by what serves the other. */
const siteKey = ({ server, node, workers, path, workload, idle }: Entry) =>
  JSON.stringify([server, node, workers, path === 'tcp', workload, idle]);

/**
 * Starts what all rows of an experiment need, and hands it to `use`; rows that differ only in how they are asked share
 * a server. Whatever has been started is stopped in the end.
 */
export async function withLive<T>(
  { id, entries }: Experiment,
  bench: Bench,
  use: (live: Live[]) => Promise<T>,
): Promise<T> {
  const sites = new Map<string, Started | Error>();
  try {
    for (const entry of entries) {
      const key = siteKey(entry);
      if (sites.has(key)) continue;
      bench.progress(`starting ${entry.id}`);
      sites.set(key, await start(entry, bench).catch((error: Error) => error));
    }
    const live: Live[] = [];
    for (const entry of entries) {
      const site = sites.get(siteKey(entry))!;
      if (site instanceof Error) bench.absent(`${id}: ${entry.id}`, site.message);
      else live.push({ entry, ...site });
    }
    return await use(live);
  } finally {
    await Promise.all([...sites.values()].map((one) => !(one instanceof Error) && end(one)));
  }
}

/**
 * Starts the server of a row.
 *
 * @throws Error if that fails, or its answers are wrong; it has been stopped then.
 */
async function start(entry: Entry, bench: Bench): Promise<Started> {
  const prepared = await prepare(entry, bench);
  const begin = performance.now();
  const running = await prepared.server.start(prepared.site);
  const startTook = (performance.now() - begin) / 1000;
  try {
    await check(prepared.site.endpoint, workloadOf(entry.workload));
  } catch (error) {
    await running.stop();
    throw error;
  }
  return { ...prepared, running, startTook };
}

async function end({ running, site }: { running: Running; site: Site }): Promise<void> {
  await running.stop();
  // Access logs of millions of requests.
  rmSync(site.directory, { recursive: true, force: true, maxRetries: 3 });
}

/** The order of a round: everybody is first once. */
export function rotated<T>(all: readonly T[], round: number): T[] {
  const first = all.length === 0 ? 0 : round % all.length;
  return [...all.slice(first), ...all.slice(0, first)];
}

/** A port of loopback that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
