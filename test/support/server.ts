/**
 * Runs the built fasticorn as a user would, and ends every process of it by its id, also when the test fails.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Output } from './output.ts';
import { childrenOf } from './processes.ts';

/** The compiled command. `npm test` builds it first. */
export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

/** The path of one of the small apps in test/apps. */
export const app = (name: string): string => fileURLToPath(new URL(`../apps/${name}`, import.meta.url));

export interface ServerOptions {
  /** Defaults to a new one in a directory of its own. */
  socket?: string;
  env?: Record<string, string>;
  cwd?: string;
  /** What follows `--`. */
  appArgs?: readonly string[];
  /** Descriptors for standard output and error, in place of pipes that the test reads. */
  stdio?: ['ignore', 'pipe' | number, 'pipe' | number];
  /** Descriptors that it finds as 3, 4, and so on. */
  passed?: readonly number[];
  /** Do not wait until the socket is there. */
  early?: boolean;
  /** Do not say where to listen: the config file does. */
  unbound?: boolean;
}

/** A started server. */
export class Server {
  readonly process: ChildProcess;
  readonly socket: string;
  readonly #stdout: Output;
  readonly #stderr: Output;
  /** Resolves when the arbiter has ended; output is complete then. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly #seen = new Set<number>();

  constructor(child: ChildProcess, socket: string) {
    this.process = child;
    this.socket = socket;
    this.#stdout = new Output(child.stdout);
    this.#stderr = new Output(child.stderr);
    this.exited = once(child, 'exit').then(async ([code, signal]) => {
      // A worker that outlives its arbiter holds the pipes; what it says is of no interest by then.
      await Promise.race([once(child, 'close'), new Promise((resolve) => setTimeout(resolve, 500))]);
      return { code, signal };
    });
  }

  get pid(): number {
    return this.process.pid!;
  }

  /** What is there so far. */
  get stdout(): string {
    return this.#stdout.text;
  }

  get stderr(): string {
    return this.#stderr.text;
  }

  /** The arbiter's children as the system has them at this moment. */
  workers(): number[] {
    const pids = childrenOf(this.pid).map((child) => child.pid);
    for (const pid of pids) this.#seen.add(pid);
    return pids;
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  /** TERM, and the exit code. */
  async stop(): Promise<number | null> {
    this.kill('SIGTERM');
    return (await this.exited).code;
  }

  /** The error log so far, as objects; lines that are no JSON (of the app itself) are left out. */
  log(): { level: number; msg: string; [key: string]: unknown }[] {
    return jsonLines(this.stderr) as { level: number; msg: string }[];
  }

  /** The access log so far. */
  accessLog(): Record<string, unknown>[] {
    return jsonLines(this.stdout) as Record<string, unknown>[];
  }

  /** Ends whatever of it is still running. */
  cleanUp(): void {
    this.workers();
    for (const pid of [this.pid, ...this.#seen]) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {}
    }
    // A server without a Unix socket has its control socket here, and was given no time to remove it.
    const left = new RegExp(`^\\.?fasticorn-${this.pid}\\.ctl(\\.|$)`);
    for (const name of readdirSync('/tmp')) if (left.test(name)) rmSync(`/tmp/${name}`, { force: true });
  }
}

/** Starts a server and waits until its socket is there. */
export async function startServer(
  t: TestContext,
  file: string,
  args: readonly string[] = [],
  options: ServerOptions = {},
): Promise<Server> {
  const socket = options.socket ?? join(temporaryDirectory(t), 'app.sock');
  const isBound = options.unbound || args.some((arg) => arg === '-b' || arg.startsWith('--bind'));
  const bind = isBound ? [] : ['--bind', `unix:${socket}`];
  const appArgs = options.appArgs ? ['--', ...options.appArgs] : [];
  const child = spawn(process.execPath, [CLI, ...bind, ...args, file, ...appArgs], {
    stdio: [...(options.stdio ?? (['ignore', 'pipe', 'pipe'] as const)), ...(options.passed ?? [])],
    cwd: options.cwd,
    env: { ...process.env, WEB_CONCURRENCY: '2', ...options.env },
  });
  const server = new Server(child, socket);
  afterwards(t, () => server.cleanUp());
  if (!options.early) {
    await until(() => existsSync(socket) || child.exitCode !== null, `${socket} to appear`);
    if (child.exitCode !== null) throw new Error(`fasticorn ended with ${child.exitCode}: ${server.stderr}`);
    await until(() => server.workers().length > 0, 'workers');
  }
  return server;
}

const endings = new WeakMap<TestContext, (() => void)[]>();

/** Has the last thing undone first: a running server would put its socket back into a directory being removed. */
export function afterwards(t: TestContext, undo: () => void): void {
  const list = endings.get(t) ?? [];
  if (list.length === 0) {
    endings.set(t, list);
    t.after(() => {
      for (const one of list.reverse()) one();
    });
  }
  list.push(undo);
}

/** A directory that any user may enter (nginx's workers among them), removed when the test ends. */
export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'fasticorn-test-'));
  chmodSync(directory, 0o755);
  afterwards(t, () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  return directory;
}

/** The names of a socket, and whatever is beside it, but for the control socket and its second name. */
export function namesOf(socket: string): string[] {
  return readdirSync(dirname(socket)).filter((name) => !/\.ctl(\.|$)/.test(name));
}

/** Waits for a state, looking every 10 ms. Throws after `seconds`. */
export async function until(
  condition: () => unknown | Promise<unknown>,
  what: string,
  seconds = 20,
): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${seconds} s in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Sends a second SIGINT, until it is no longer taken for the echo of the first one that npm sends. */
export async function interruptAgain(server: Server): Promise<void> {
  const again = setInterval(() => server.kill('SIGINT'), 100);
  try {
    await until(() => server.stderr.includes('SIGINT again'), 'the second SIGINT to be heard');
  } finally {
    // One in the very last moments of a process would end it as a signal does.
    clearInterval(again);
  }
}

/** Whether a process exists and is no zombie. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function jsonLines(text: string): unknown[] {
  return text.split('\n').flatMap((line) => {
    try {
      return line.startsWith('{') ? [JSON.parse(line)] : [];
    } catch {
      return [];
    }
  });
}
