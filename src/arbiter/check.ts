/**
 * `--check-config`: loads the app in a worker that serves nobody, and tells whether that works.
 */
import type { Config } from '../config/settings.ts';
import { ExitCode, UserError } from '../errors.ts';
import type { Launch } from '../launch.ts';
import type { AppSpec, Report } from '../protocol.ts';
import { credentialsOf } from './credentials.ts';
import { WorkerHandle } from './worker-handle.ts';

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
  let late = false;
  await new Promise<void>((resolve) => {
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
        onExit: () => {
          clearTimeout(timer);
          resolve();
        },
      },
    );
    let timer = setTimeout(() => {
      late = true;
      worker.kill();
    }, config.bootTimeout * 1000);
    worker.tell({ type: 'check', app, args, config });
  });
  if (first?.type === 'ready') return first.shape;
  if (late)
    throw new UserError(
      `${app} is not ready after ${config.bootTimeout} s (--boot-timeout)`,
      ExitCode.bootFailed,
    );
  if (first?.type === 'failed') {
    const { stack, message, exitCode } = first;
    throw new UserError(stack ? `${app} failed to start:\n${stack}` : message, exitCode);
  }
  throw new UserError(`${app} ended its process before it was ready`, ExitCode.bootFailed);
}
