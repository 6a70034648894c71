/**
 * Node's inspector in a worker, which anybody who can reach 127.0.0.1 may use. Knows that SIGUSR1 opens it, which is
 * meant for workers that are stuck, and is sent to all of a group by those who want logs to be opened anew.
 */
import { closeInspector, inspector } from '../inspector.ts';
import type { Logger } from '../log.ts';

/** Returns what closes the inspector if somebody has opened it since; to be called now and then, where nothing is stuck. */
export function inspectorGuard(warn: (text: string) => void): () => void {
  // Who asked for it from the start shall have it.
  if (inspector().url() !== undefined) return () => {};
  return () => {
    if (inspector().url() === undefined) return;
    closeInspector();
    warn("a signal (SIGUSR1) had opened Node's inspector in this worker; it is closed again");
  };
}

/** Lets a debugger attach, and says where. */
export function openInspector({ host, port }: { host: string; port: number }, log: Logger): void {
  try {
    // If it fails, Node says why on standard error, and goes on.
    inspector().open(port, host);
  } catch (error) {
    log.warn(`no debugger can attach: ${(error as Error).message}`);
  }
  const url = inspector().url();
  if (url) log.info(`a debugger can attach at ${new URL(url).host}`);
}
