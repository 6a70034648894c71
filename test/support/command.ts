/**
 * Runs the built fasticorn to its end: for what it says and the code that it exits with.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { CLI } from './server.ts';

/** How a command ended, and what it said. */
export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `fasticorn` with these arguments until it ends; it is killed when the test ends before. It finds `passed` as descriptors from 3 on. */
export async function fasticorn(
  t: TestContext,
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; uid?: number; passed?: readonly number[] } = {},
): Promise<Outcome> {
  const { uid } = options;
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe', ...(options.passed ?? [])],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  t.after(() => child.kill('SIGKILL'));
  const outcome: Outcome = { code: null, stdout: '', stderr: '' };
  child.stdout!.setEncoding('utf8').on('data', (text) => {
    outcome.stdout += text;
  });
  child.stderr!.setEncoding('utf8').on('data', (text) => {
    outcome.stderr += text;
  });
  [outcome.code] = (await once(child, 'close')) as [number | null];
  return outcome;
}
