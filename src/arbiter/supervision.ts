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
  // A parent outside of the pid namespace has the number 0: a container that shares its namespace with others.
  const inContainer = isContainer || env.KUBERNETES_SERVICE_HOST !== undefined;
  if (pid === 1 || ppid === 0 || (ppid === 1 && inContainer && !isSuccessor)) {
    return 'the container ends with this process; use reload for new code, or start the new image beside it with --takeover';
  }
  // The services of a user are children of another systemd, which names its child since version 248.
  const isService = env.SYSTEMD_EXEC_PID === String(pid) || (ppid === 1 && env.INVOCATION_ID !== undefined);
  if (isService && !isSuccessor) {
    return 'systemd ends the service with this process; use reload for new code, or systemctl restart';
  }
  return undefined;
}
