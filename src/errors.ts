/**
 * What goes wrong on the operator's side, and the exit codes of the program.
 * Knows nothing about where an error is shown; `cli.ts` and the arbiter decide that.
 */

/**
 * Exit codes of `fasticorn`, for supervisors and scripts.
 *
 * `bootFailed` and `appFailed` are Gunicorn's WORKER_BOOT_ERROR (3) and APP_LOAD_ERROR (4).
 */
export const ExitCode = { ok: 0, usage: 1, bootFailed: 3, appFailed: 4 } as const;

/** A mistake that a person can put right: shown as one line, without a stack. */
export class UserError extends Error {
  override readonly name = 'UserError';
  /** What the process exits with if nobody handles the error. */
  readonly exitCode: number;

  constructor(message: string, exitCode: number = ExitCode.usage) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The `code` of a system error (`ENOENT`, `EACCES`, …), or undefined for any other error. */
export function errorCode(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | null | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}
