/**
 * What runs in the process of the hooks: loads the config file once, and runs the hook of each event that the arbiter
 * sends. Knows no queue and no limits of time, which are the arbiter's: see `arbiter/hook-process.ts`.
 */
import { formatWithOptions } from 'node:util';
import { Worker } from 'node:worker_threads';
import type { HookError, HookOrder, HookReport } from '../events.ts';

/** How long a hook may go on without an arbiter, in milliseconds. */
const ORPHANED = 10_000;

/**
 * Runs in a thread of its own, as a hook that never returns keeps the process from noticing anything. The thread may begin
 * only when the arbiter is gone.
 */
const WATCH = `
setInterval(() => {
  if (process.ppid !== ${process.ppid}) setTimeout(() => process.kill(process.pid, 'SIGKILL'), ${ORPHANED});
}, 1000);
`;

/** @param load loads the config file. */
export async function serve(load: () => Promise<Record<string, unknown>>): Promise<void> {
  process.title = 'fasticorn: hooks';
  new Worker(WATCH, { eval: true }).unref();
  // Supervisors send these to every process of a service; the arbiter decides when it is time to go.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) process.on(signal, () => {});
  let isBusy = false;
  let isOver = false;
  const exitWhenIdle = () => {
    if (isOver && !isBusy) process.exit();
  };
  process.on('disconnect', () => {
    isOver = true;
    exitWhenIdle();
  });
  const fail = (error: unknown) => say({ type: 'failed', error: told(error) }, () => process.exit(1));
  process.on('uncaughtException', fail);

  let settings: Record<string, unknown>;
  try {
    settings = await load();
  } catch (error) {
    fail(error);
    return;
  }
  process.on('message', async ({ id, event }: HookOrder) => {
    isBusy = true;
    let error: HookError | undefined;
    try {
      const hook = settings[event.type];
      if (typeof hook !== 'function') throw new Error('it is not in the file any more');
      await hook.call(settings, event);
    } catch (thrown) {
      error = told(thrown);
    }
    isBusy = false;
    say({ type: 'done', id, ...(error && { error }) });
    exitWhenIdle();
  });
  say({ type: 'loaded' });
}

/** Tells the arbiter; one that is gone hears nothing. */
function say(report: HookReport, then: () => void = () => {}): void {
  if (process.connected) process.send!(report, undefined, undefined, then);
  else then();
}

/** Anything may be thrown. */
function told(thrown: unknown): HookError {
  const { message, stack } = Object(thrown) as { message?: unknown; stack?: unknown };
  const text = typeof message === 'string' ? message : formatWithOptions({ breakLength: Infinity }, thrown);
  return { message: text, stack: typeof stack === 'string' ? stack : text };
}
