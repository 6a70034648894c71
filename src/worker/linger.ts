/**
 * How a connection ends whose client is still sending the request that was answered: not by a reset, which would take
 * the answer with it. nginx, which writes without reading, would say 502 in place of a refusal of the app.
 */
import type { Connection } from './connection.ts';

/** How long a client may send nothing more before its connection is closed, in milliseconds. */
const SILENCE = 2_000;
/** How long it may go on sending, in milliseconds. */
const LINGER = 10_000;

/** Has the end of a connection not reset it, should its last answer be given before the whole request has come. */
export function lingerAtEnd(connection: Connection): void {
  const { socket } = connection;
  const { destroySoon } = socket;
  // A stream that an app has had the server take for a connection may have none, and Node looks whether it has.
  if (!destroySoon) return;
  // What Node calls when the last response of a connection is out, before it says so; apps call it later than that.
  socket.destroySoon = () => {
    if (connection.phase === 'lingering') return;
    const request = connection.pending[0]?.request ?? connection.unfinished;
    if (!request || request.complete) {
      destroySoon.call(socket);
      return;
    }
    const close = () => destroySoon.call(socket);
    connection.phase = 'lingering';
    socket.end();
    // That a body is complete which came with its head is known only after Node has let us answer.
    setImmediate(() => {
      if (request.complete || socket.destroyed) close();
      else readOn(connection, close);
    });
  };
}

/**
 * Closing with unread bytes would reset the connection. They are read past the parser, so that the app sees neither the
 * rest of a body that it has no answer for any more nor a next request: to the app it is as if Node had closed it.
 */
function readOn({ socket }: Connection, close: () => void): void {
  const silence = setTimeout(close, SILENCE).unref();
  const most = setTimeout(close, LINGER).unref();
  socket.once('close', () => {
    clearTimeout(silence);
    clearTimeout(most);
  });
  // Node's own would take the end of the client for an error in its request, and tell the app.
  socket.removeAllListeners('data').removeAllListeners('end').on('end', close);
  socket.on('data', () => silence.refresh());
  socket.resume();
  // For an app that did not read, Node has stopped it below the stream, which believes that it is being read.
  socket._read(0);
}
