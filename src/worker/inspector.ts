/**
 * Node's inspector in a worker, which anybody who can reach 127.0.0.1 may use. Knows that SIGUSR1 opens it, which is
 * meant for workers that are stuck, and is sent to all of a group by those who want logs to be opened anew.
 */
import * as inspector from 'node:inspector';

/** Returns what closes the inspector if somebody has opened it since; to be called now and then, where nothing is stuck. */
export function inspectorGuard(warn: (text: string) => void): () => void {
  // Who asked for it from the start shall have it.
  if (inspector.url() !== undefined) return () => {};
  return () => {
    if (inspector.url() === undefined) return;
    inspector.close();
    warn("a signal (SIGUSR1) had opened Node's inspector in this worker; it is closed again");
  };
}
