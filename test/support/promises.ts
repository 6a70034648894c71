/**
 * What every app is promised, whatever it is made with: over a reload and a stop each request gets its answer, long ones
 * too, each has its line in the access log, and the workers count them.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { fasticorn } from './command.ts';
import { controlOf, readyWorkers, settled } from './control.ts';
import { type LoadOptions, type LoadResult, load } from './load.ts';
import { type Server, type ServerOptions, startServer, until } from './server.ts';

/** An app, and how it is asked. */
export interface Served extends Pick<LoadOptions, 'ask' | 'methods'> {
  app: string;
  /** What comes before the app on the command line. */
  args?: readonly string[];
  /** Answers that are under way while the server is reloaded, and again while it stops. */
  long?: readonly LongAnswer[];
  options?: ServerOptions;
}

/** A GET whose answer takes its time. */
export interface LongAnswer {
  path: string;
  headers?: Record<string, string>;
  /** Whether all of it has come. */
  isWhole: (body: Buffer) => boolean;
}

/** Serves the app from start to stop; afterwards the server's output is there to be looked at. */
export async function keepsPromises(t: TestContext, served: Served): Promise<Server> {
  const { app, args = [], long = [], options, ...asked } = served;
  // One worker: what is made of an app is the same in each of them.
  const server = await startServer(t, app, ['--workers', '1', ...args], options);
  const to = { socketPath: server.socket };
  await settled(server, 1);
  const first = (await readyWorkers(server)).map(({ pid }) => pid);

  const enough = new AbortController();
  const loads = [true, false].map((keepAlive) =>
    load({
      ...asked,
      to,
      keepAlive,
      connections: 4,
      delay: 5,
      pause: 15,
      signal: enough.signal,
      seconds: 60,
    }),
  );
  const result = await duringLoad(enough, loads, async () => {
    await answersArrive(server, long, async () => {
      const { code, stderr } = await fasticorn(t, ['reload', '--control-socket', controlOf(server)]);
      assert.equal(code, 0, stderr);
    });
    const second = await readyWorkers(server);
    assert.deepEqual(
      second.filter(({ pid }) => first.includes(pid)),
      [],
    );
    await until(
      async () => (await readyWorkers(server)).some(({ requests }) => requests! > 0),
      'requests to be counted',
    );
    await answersArrive(server, long, async () => {
      server.kill('SIGTERM');
      await until(() => !existsSync(server.socket), 'the name to be gone');
    });
    assert.equal((await server.exited).code, 0);
  });

  assert.deepEqual([result.bad.slice(0, 5), result.bad.length], [[], 0]);
  assert.ok(result.good > 100, `only ${result.good} requests`);
  const lines = server.accessLog().filter((line) => 'status' in line);
  assert.equal(lines.length, result.good + 2 * long.length, 'lines in the access log');
  const complaints = server.log().filter(({ level }) => level > 30);
  assert.deepEqual(complaints, []);
  return server;
}

/** Does something while requests come, and sums up how these went. */
async function duringLoad(
  enough: AbortController,
  loads: Promise<LoadResult>[],
  during: () => Promise<void>,
): Promise<Pick<LoadResult, 'good' | 'bad'>> {
  try {
    await during();
  } finally {
    enough.abort();
  }
  const results = await Promise.all(loads);
  return {
    good: results.reduce((sum, { good }) => sum + good, 0),
    bad: results.flatMap(({ bad }) => bad),
  };
}

/** Does something when each of these answers has begun; what has come by then is only read afterwards. */
async function answersArrive(
  server: Server,
  long: readonly LongAnswer[],
  during: () => Promise<void>,
): Promise<void> {
  const begun = await Promise.all(
    long.map(async ({ path, headers }) => {
      const asking = request({ socketPath: server.socket, path, headers, agent: false }).end();
      const [answer] = (await once(asking, 'response')) as [IncomingMessage];
      await once(answer, 'readable');
      return answer;
    }),
  );
  await during();
  const bodies = await Promise.all(begun.map((answer) => buffer(answer)));
  for (const [index, { path, isWhole }] of long.entries()) {
    const body = bodies[index]!;
    assert.ok(begun[index]!.statusCode === 200 && isWhole(body), `${path}: ${body.length} bytes`);
  }
}
