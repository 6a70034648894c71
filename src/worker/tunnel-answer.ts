/**
 * What an app answers where a client has asked for a tunnel: it writes that on the connection by itself, which is its own by
 * then. Knows how to read it there, and what becomes of a connection that was refused to be a tunnel.
 */
import type { Duplex } from 'node:stream';

/** How long a refused connection may still be written to once its client has ended it, in milliseconds of silence. */
const SILENCE = 2_000;

/**
 * Calls back, once, with the status that is first written; undefined for what is no answer of HTTP/1.
 *
 * @param isLate whether what is written now still answers a request that came before.
 */
export function onAnswer(
  socket: Duplex,
  isLate: () => boolean,
  told: (status: number | undefined) => void,
): void {
  let isTold = false;
  for (const method of ['write', 'end'] as const) {
    const original = socket[method] as (...args: unknown[]) => unknown;
    const ours = (...args: unknown[]) => {
      if (!isTold && isLate()) return original.apply(socket, args);
      // What the app has put around it by then stays.
      if (socket[method] === ours) Object.assign(socket, { [method]: original });
      const result = original.apply(socket, args);
      if (!isTold) {
        isTold = true;
        told(statusIn(args[0]));
      }
      return result;
    };
    Object.assign(socket, { [method]: ours });
  }
}

/** Whether that makes it no tunnel. What is no answer of HTTP/1 is the app's own business. */
export function isRefusal(event: string, status: number | undefined): boolean {
  if (status === undefined) return false;
  return event === 'connect' ? status >= 300 : status !== 101;
}

/** Nobody reads any more what comes, and would hear that the client is gone; a last answer may still be on its way. */
export function noticeEnd(
  socket: Duplex & { setTimeout?(timeout: number, then: () => void): unknown },
): void {
  if (socket.listenerCount('data') + socket.listenerCount('readable') > 0) return;
  socket.on('end', () => socket.setTimeout?.(SILENCE, () => socket.destroy()));
  socket.resume();
}

function statusIn(written: unknown): number | undefined {
  const start = written instanceof Uint8Array ? Buffer.from(written.subarray(0, 12)) : written;
  const match = /^HTTP\/1\.[01] (\d{3})/.exec(String(start));
  return match ? Number(match[1]) : undefined;
}
