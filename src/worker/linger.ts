/**
 * How a connection ends whose client may still be sending: not by a reset, which would take the answer with it.
 */
import type { IncomingMessage } from 'node:http';

/** How long a client that is still sending gets to read its answer, in milliseconds. */
const LINGER = 2_000;

/**
 * Has the end of a connection not reset it: closing with unread bytes would, and take the answer from a client that
 * is still sending. They are read past the parser, so that the app sees neither the rest of a body that it has no
 * answer for any more nor a next request; to the app it is as if the client had gone.
 */
export function lingerAtEnd(request: IncomingMessage): void {
  const { socket } = request;
  // What Node calls when the last response of a connection is out.
  socket.destroySoon = () => {
    socket.removeAllListeners('data');
    socket.on('data', () => {});
    socket.resume();
    // For an app that did not read, Node has stopped it below the stream, which believes that it is being read.
    socket._read(0);
    socket.end();
    const timer = setTimeout(() => socket.destroy(), LINGER);
    timer.unref();
    socket.once('close', () => {
      clearTimeout(timer);
      // Node has forgotten a request that is answered, and its reader would wait for ever.
      if (!request.complete) request.destroy(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }));
    });
  };
}
