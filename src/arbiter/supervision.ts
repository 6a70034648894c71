/**
 * Whether somebody watches over this very process, so that its end would be the end of everything. Pure.
 */

/** What is known about this process. */
export interface Circumstances {
  pid: number;
  /** Of the parent, when we were started. */
  ppid: number;
  env: Readonly<Record<string, string | undefined>>;
  isContainer: boolean;
  /** Whether an arbiter before us started us: then we have outlived it, and are watched by nobody. */
  isSuccessor: boolean;
}

/**
 * Why a successor of ours would not survive us, and what to do instead of an upgrade; undefined if it would. Gunicorn
 * and Unicorn try, and take the container down.
 */
export function tiedToUs({ pid, ppid, env, isContainer, isSuccessor }: Circumstances): string | undefined {
  if (pid === 1 || (ppid === 1 && isContainer && !isSuccessor)) {
    return 'the container ends with this process; use reload for new code, or start the new image beside it with --takeover';
  }
  if (ppid === 1 && env.INVOCATION_ID !== undefined && !isSuccessor) {
    return 'systemd ends the service with this process; use reload for new code, or systemctl restart';
  }
  return undefined;
}
