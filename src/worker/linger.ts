/**
 * How a connection ends whose client is still sending the request that was answered: not by a reset, which would take
 * the answer with it. nginx, which writes without reading, would say 502 in place of a refusal of the app.
 */
import type { IncomingMessage } from 'node:http';
import type { Connection } from './connection.ts';

/** How long a client may send nothing more before its connection is closed, in milliseconds. */
const SILENCE = 2_000;
/** How long it may go on sending, in milliseconds. */
const LINGER = 10_000;

/** Has the end of a connection not reset it, should its last answer be given before the whole request has come. */
export function lingerAtEnd({ socket, pending }: Pick<Connection, 'socket' | 'pending'>): void {
  const { destroySoon } = socket;
  // What Node calls when the last response of a connection is out, and before it says so.
  socket.destroySoon = () => {
    const request = pending[0]?.request;
    if (request && !request.complete) linger(request);
    else destroySoon.call(socket);
  };
}

/**
 * Closing with unread bytes would reset the connection. They are read past the parser, so that the app sees neither the
 * rest of a body that it has no answer for any more nor a next request; to the app it is as if the client had gone.
 */
function linger(request: IncomingMessage): void {
  const { socket } = request;
  const destroy = () => socket.destroy();
  const silence = setTimeout(destroy, SILENCE).unref();
  const most = setTimeout(destroy, LINGER).unref();
  socket.removeAllListeners('data');
  socket.on('data', () => silence.refresh());
  socket.resume();
  // For an app that did not read, Node has stopped it below the stream, which believes that it is being read.
  socket._read(0);
  socket.end();
  socket.once('close', () => {
    clearTimeout(silence);
    clearTimeout(most);
    // Node has forgotten a request that is answered, and its reader would wait for ever.
    if (!request.complete) request.destroy(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }));
  });
}
