/**
 * `--check-config`: loads the app in a worker that serves nobody, and tells whether that works.
 */
import type { Config } from '../config/settings.ts';
import { ExitCode, UserError } from '../errors.ts';
import type { Launch } from '../launch.ts';
import type { AppSpec, Report } from '../protocol.ts';
import { BOOT_AUTOPSY_LIMIT, examine } from './autopsy.ts';
import { credentialsOf } from './credentials.ts';
import { describe } from './exit-line.ts';
import { type WorkerExit, WorkerHandle } from './worker-handle.ts';

/** How long an app may take to close that was only loaded, in milliseconds. */
const CLOSE_LIMIT = 2_000;

/**
 * Resolves with what the app was taken for if it becomes ready within the boot timeout, in a process that has ended by
 * then.
 *
 * @throws UserError with the app's own stack, if it has one.
 */
export async function checkApp(
  app: AppSpec,
  args: readonly string[],
  config: Config,
  launch: Launch,
): Promise<string> {
  const credentials = credentialsOf(config);
  let first: Report | undefined;
  let late: Promise<string> | undefined;
  const how = await new Promise<WorkerExit>((resolve) => {
    const worker = new WorkerHandle(
      [],
      config.chdir ?? '.',
      { launch, credentials },
      {
        // Whether it closes as well is not the question.
        onReport: (report) => {
          first ??= report;
          clearTimeout(timer);
          timer = setTimeout(() => worker.kill(), CLOSE_LIMIT);
        },
        onExit: (exit) => {
          clearTimeout(timer);
          resolve(exit);
        },
      },
    );
    let timer = setTimeout(() => {
      late = whatItDoes(worker).finally(() => worker.kill());
    }, config.bootTimeout * 1000);
    worker.tell({ type: 'check', app, args, config });
  });
  if (late !== undefined)
    throw new UserError(
      `${app} is not ready after ${config.bootTimeout} s (--boot-timeout): ${await late}`,
      ExitCode.bootFailed,
    );
  if (first?.type === 'ready') return first.shape;
  if (first?.type === 'failed') {
    const { stack, message, exitCode } = first;
    throw new UserError(stack ? `${app} failed to start:\n${stack}` : message, exitCode);
  }
  throw new UserError(`${app}: before it was ready, its process ${describe(how)}`, ExitCode.bootFailed);
}

async function whatItDoes({ pid }: WorkerHandle): Promise<string> {
  try {
    return `it is blocked\n${(await examine(pid!, BOOT_AUTOPSY_LIMIT)).stack}`;
  } catch (error) {
    return (error as Error).message;
  }
}
