/**
 * Processes of the benchmark: started on the CPUs that they may use, each the first of a session of its own, and ended
 * by their ids with everything below them, also when the benchmark fails or is interrupted. Knows nothing of what they
 * are; whether an address answers is asked here because a start that waits for it has to see a death as well.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Endpoint } from './model.ts';
import { isAlive, kin } from './proc.ts';
import { within } from './within.ts';

/** How long a process may take to end by itself after SIGTERM, in milliseconds. */
const GRACE = 5_000;
/** How often an address is asked whether it answers, in milliseconds: what start-up times are exact to. */
export const POLL = 2;
/** How long one answer may take, in milliseconds. */
const ANSWER_LIMIT = 2_000;

export interface LaunchOptions {
  /** The CPUs that it, and whatever it starts, may use. Without `taskset` it may use all. */
  cpus: readonly number[];
  cwd?: string;
  /** Added to the environment of the benchmark. */
  env?: Record<string, string>;
  /** The file that its standard output and error are appended to. */
  log: string;
}

/** A process that was started. */
export interface Launched {
  readonly pid: number;
  /** The file with its output. */
  readonly log: string;
  /** How it ended. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** The processes below it, or left over by such, as they are now; empty where there is no `/proc`. */
  descendants(): number[];
  /** Ends it and everything below it: asked to by SIGTERM, and killed if that takes too long. */
  stop(): Promise<void>;
}

/** Whether processes can be kept to some CPUs here; those that are measured otherwise share all. */
export const canPin = spawnSync('taskset', ['--version'], { stdio: 'ignore' }).status === 0;

const running = new Set<Process>();
process.on('exit', () => kill([...running]));

/** Starts a program, which runs until it ends or is stopped; the benchmark does not end before. */
export function launch(command: string, args: readonly string[], options: LaunchOptions): Launched {
  const [program, ...rest] = canPin
    ? ['taskset', '--cpu-list', options.cpus.join(','), command, ...args]
    : [command, ...args];
  const log = openSync(options.log, 'a');
  try {
    const child = spawn(program!, rest, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', log, log],
      detached: true,
    });
    return new Process(child, options.log);
  } finally {
    closeSync(log);
  }
}

/** Whether a good answer comes from an address. */
export function answers(endpoint: Endpoint, path = '/'): Promise<boolean> {
  const to =
    endpoint.kind === 'unix' ? { socketPath: endpoint.path } : { host: '127.0.0.1', port: endpoint.port };
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(ANSWER_LIMIT);
    request({ ...to, path, agent: false, signal })
      .on('response', (response) => {
        const isGood = response.statusCode === 200;
        response
          .on('end', () => resolve(isGood))
          .on('error', () => resolve(false))
          .resume();
      })
      .on('error', () => resolve(false))
      .end();
  });
}

/**
 * Waits for the first good answer.
 *
 * @throws Error with the end of the log if there is none after so many seconds, or the process has ended; it has then
 *   been stopped.
 */
export function untilAnswers(endpoint: Endpoint, launched: Launched, seconds: number): Promise<void> {
  return wait(launched, seconds, 'a good answer', () => answers(endpoint));
}

/**
 * Waits until the output of a process has so many matches of a pattern, such as a line of each worker that is ready.
 *
 * @throws Error as `untilAnswers` does.
 */
export function untilSaid(
  launched: Launched,
  pattern: RegExp,
  { count, seconds }: { count: number; seconds: number },
): Promise<void> {
  const all = new RegExp(pattern, `${pattern.flags}g`);
  const said = () => readFileSync(launched.log, 'utf8').match(all)?.length ?? 0;
  return wait(launched, seconds, `${count} times ${pattern}`, () => said() >= count);
}

/** Waits for a state of a process, as long as that lives. */
async function wait(
  launched: Launched,
  seconds: number,
  what: string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  let end: string | undefined;
  launched.exited.then(
    ({ code, signal }) => {
      end = `it ended with ${signal ?? code}`;
    },
    (error) => {
      end = error.message;
    },
  );
  const deadline = performance.now() + seconds * 1000;
  while (!(await condition())) {
    if (performance.now() > deadline) end ??= `in vain for ${seconds} s`;
    if (end !== undefined) {
      const error = new Error(`waited for ${what}: ${end}${tail(launched.log)}`);
      await launched.stop();
      throw error;
    }
    await sleep(POLL);
  }
}

/** The last lines of a log, after a colon. */
function tail(log: string): string {
  const text = readFileSync(log, 'utf8').trim();
  return text && `: ${text.slice(-600).replace(/\s+/g, ' ')}`;
}

/**
 * Waits until a command is done.
 *
 * @throws Error if it takes longer than so many seconds, or does not end with 0; it has been stopped then.
 */
export async function untilDone(launched: Launched, seconds: number, what: string): Promise<void> {
  try {
    const { code, signal } = await within(seconds, what, launched.exited);
    if (code !== 0) throw new Error(`${what} ended with ${signal ?? code}${tail(launched.log)}`);
  } finally {
    await launched.stop();
  }
}

class Process implements Launched {
  readonly pid: number;
  readonly log: string;
  readonly exited: Launched['exited'];

  constructor(child: ChildProcess, log: string) {
    this.log = log;
    this.exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
    // Whoever waits is told; if nobody does, that is no failure of the benchmark.
    this.exited.catch(() => {});
    // There is none if it could not be started.
    this.pid = child.pid ?? 0;
    if (!this.pid) return;
    running.add(this);
    // Its number may become another's once nobody below it is left.
    child.on('exit', () => {
      if (this.descendants().length === 0) running.delete(this);
    });
  }

  descendants(): number[] {
    return this.pid ? kin([this.pid]) : [];
  }

  async stop(): Promise<void> {
    if (!running.has(this)) return;
    const all = [this.pid, ...this.descendants()];
    // The first process alone: a master tells its workers itself, and in its order.
    signal(this.pid, 'SIGTERM');
    const deadline = performance.now() + GRACE;
    while (all.some(isAlive) && performance.now() < deadline) await sleep(10);
    kill([this]);
    await this.exited;
  }
}

/** Kills whatever there is of them, at once. */
function kill(processes: readonly Process[]): void {
  const first = processes.map(({ pid }) => pid);
  // Before anything is killed: who is in another session is found by its parent, as long as that lives.
  const below = kin(first);
  for (const pid of first) signal(-pid, 'SIGKILL');
  // And again: one may have been forked between the look and the signal.
  for (const pid of [...below, ...kin(first)]) signal(pid, 'SIGKILL');
  for (const one of processes) running.delete(one);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has gone.
  }
}
