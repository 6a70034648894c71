/**
 * `--check-config`: loads the app in a worker that serves nobody, and tells whether that works.
 */
import type { Config } from '../config/settings.ts';
import { ExitCode, UserError } from '../errors.ts';
import type { Launch } from '../launch.ts';
import type { AppSpec, Report } from '../protocol.ts';
import { credentialsOf } from './credentials.ts';
import { WorkerHandle } from './worker-handle.ts';

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
  let last: Report | undefined;
  let late = false;
  await new Promise<void>((resolve) => {
    const worker = new WorkerHandle(
      [],
      config.chdir ?? '.',
      { launch, credentials },
      {
        onReport: (report) => {
          last = report;
        },
        onExit: () => {
          clearTimeout(timer);
          resolve();
        },
      },
    );
    const timer = setTimeout(() => {
      late = true;
      worker.kill();
    }, config.bootTimeout * 1000);
    worker.tell({ type: 'check', app, args, config });
  });
  if (last?.type === 'ready' && !late) return last.shape;
  if (late)
    throw new UserError(
      `${app} is not ready after ${config.bootTimeout} s (--boot-timeout)`,
      ExitCode.bootFailed,
    );
  if (last?.type === 'failed') {
    throw new UserError(last.stack ? `${app} failed to start:\n${last.stack}` : last.message, last.exitCode);
  }
  throw new UserError(`${app} ended its process before it was ready`, ExitCode.bootFailed);
}
