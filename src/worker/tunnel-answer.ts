/**
 * What an app answers where a client has asked for a tunnel: it writes that on the connection by itself, which is its own by
 * then. Knows how to read it there, and when a connection that was refused to be a tunnel is of no use any more.
 */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** How long an app may be silent on a connection that it has refused until nothing more is expected of it, in milliseconds. */
const SILENCE = 2_000;

/** As much of what is written first as may be looked at: heads of 103, and the status line of an answer. */
const HEADS = 4096;

/**
 * Calls back, once, with the status that is written first, but for such as 103, which an answer follows; undefined for what
 * is no answer of HTTP/1.
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
      const answer = isTold || isLate() ? '' : withoutInterim(args[0]);
      const result = original.apply(socket, args);
      if (answer !== '') {
        isTold = true;
        told(statusIn(answer));
      }
      // What the app has put around it by then stays.
      if (isTold && socket[method] === ours) Object.assign(socket, { [method]: original });
      return result;
    };
    Object.assign(socket, { [method]: ours });
  }
}

/** Whether that makes it no tunnel. What is no answer of HTTP/1 is the app's own business. */
export function isRefusal(event: string, status: number | undefined): boolean {
  return status !== undefined && status >= (event === 'connect' ? 300 : 200);
}

/**
 * Calls back when an app has written nothing for a while on a connection that it has refused, and does not read there. From
 * then on we do, as nobody else would hear that the client has gone.
 *
 * @param socket what the app has: a stream that counts nothing where Node had not read all of the request.
 * @param connection what is written there goes out on.
 */
export function onAbandoned(
  socket: Duplex,
  connection: Pick<Socket, 'bytesWritten'>,
  then: () => void,
): void {
  let seen = -1;
  const timer = setInterval(() => {
    const before = seen;
    seen = connection.bytesWritten;
    const isRead = socket.listenerCount('data') + socket.listenerCount('readable') > 0;
    if (seen !== before || socket.writableLength > 0 || isRead) return;
    clearInterval(timer);
    then();
    const leave = () => {
      if (connection.bytesWritten === seen) socket.destroy();
    };
    if (socket.readableEnded) leave();
    else socket.on('end', leave).resume();
  }, SILENCE);
  timer.unref();
  socket.once('close', () => clearInterval(timer));
}

function withoutInterim(written: unknown): string {
  const start = written instanceof Uint8Array ? Buffer.from(written.subarray(0, HEADS)) : written;
  return String(start).replace(/^(?:HTTP\/1\.[01] 1(?!01)\d\d[\s\S]*?\r\n\r\n)+/, '');
}

function statusIn(text: string): number | undefined {
  const match = /^HTTP\/1\.[01] (\d{3})/.exec(text);
  return match ? Number(match[1]) : undefined;
}
