/**
 * Single requests over a socket or a port, for tests that look at one answer; and servers on a port.
 */
import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { accepts, freePort } from './port.ts';
import { type Server, type ServerOptions, startServer, temporaryDirectory, until } from './server.ts';

/** Where a server listens: a Unix socket, or a port on loopback. */
export type Target = { socketPath: string } | { port: number };

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
  /** The body as JSON. */
  json<T = Record<string, unknown>>(): T;
}

/** One request on a connection of its own. */
export async function fetchFrom(
  target: Target,
  path: string,
  options: RequestOptions & { body?: string | Buffer } = {},
): Promise<Answer> {
  const { body, ...rest } = options;
  const outgoing = request({ host: '127.0.0.1', ...target, path, agent: false, ...rest });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  const received = await text(incoming);
  return {
    status: incoming.statusCode!,
    headers: incoming.headers,
    body: received,
    json: <T>() => JSON.parse(received) as T,
  };
}

/**
 * Everything that the server sends, in answer to these bytes, until it ends the connection.
 *
 * @throws Error if nothing comes for 20 s.
 */
export async function exchange(target: Target, bytes: string | Buffer): Promise<string> {
  const socket = open(target);
  socket.setEncoding('latin1');
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk;
  });
  socket.on('error', () => {});
  let isSilent = false;
  socket.setTimeout(20_000, () => {
    isSilent = true;
    socket.destroy();
  });
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  await once(socket, 'close');
  if (isSilent) throw new Error(`the server neither ended the connection nor said more: ${received}`);
  return received;
}

/** A bare connection. */
export function open(target: Target): Socket {
  return 'port' in target ? connect(target.port, '127.0.0.1') : connect(target.socketPath);
}

/**
 * Starts a server on a free port of loopback, and waits until it accepts. Its control socket is where that of a server
 * with a Unix socket would be, unless a flag says something else.
 */
export async function startOnPort(
  t: TestContext,
  file: string,
  args: readonly string[] = [],
  options: ServerOptions = {},
): Promise<{ server: Server; target: { port: number } }> {
  const port = await freePort();
  const socket = options.socket ?? join(temporaryDirectory(t), 'app.sock');
  const own = ['-b', `127.0.0.1:${port}`, '--control-socket', `${socket}.ctl`];
  const server = await startServer(t, file, [...own, ...args], { ...options, socket, early: true });
  const hasEnded = () => server.process.exitCode !== null || server.process.signalCode !== null;
  await until(async () => hasEnded() || (await accepts(port)), `port ${port}`);
  if (hasEnded()) throw new Error(`fasticorn ended: ${server.stderr}`);
  return { server, target: { port } };
}
