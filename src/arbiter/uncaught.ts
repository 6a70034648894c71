/**
 * What becomes of an error that nobody catches in the arbiter: one that others have caused, through the channel of a worker
 * or of the hooks, harms nobody; one of our own ends the process, and is in the error log by then.
 */
import type { OpenLog } from '../log.ts';

/** To be called once; from then on errors are told to this log. */
export function watchErrors({ logger, flushSync }: OpenLog): void {
  process.on('uncaughtException', (error: unknown) => {
    if (isOfChannel(error)) {
      const text =
        'a worker or a hook has written to its channel to the arbiter what Node cannot take; it was ignored';
      logger.error({ err: error }, text);
      return;
    }
    logger.fatal({ err: error }, 'an error in fasticorn itself; please report it');
    flushSync();
    process.exit(1);
  });
}

/**
 * Whoever has a channel can write to it what is no JSON, or a command of Node's own at a time when it makes no sense: that is
 * thrown where Node reads it, before we hear of it, and by nothing but Node's own functions.
 */
function isOfChannel(error: unknown): boolean {
  const { stack = '' } = Object(error) as Partial<Error>;
  const frames = stack.split('\n').filter((line) => /^ {4}at /.test(line));
  return (
    frames.some((frame) => frame.includes('node:internal/child_process')) &&
    frames.every((frame) => /\(?node:|<anonymous>\)?$/.test(frame))
  );
}
