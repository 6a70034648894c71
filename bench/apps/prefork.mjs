/**
 * `node prefork.mjs WORKERS APP ADDRESS`: the least of a pre-fork server. Binds, starts so many `serve.mjs` that
 * inherit the socket, and never touches it again; ends when told to, or when one of them has ended.
 */
import { spawn } from 'node:child_process';
import net from 'node:net';
import { fileURLToPath } from 'node:url';

const serve = fileURLToPath(new URL('serve.mjs', import.meta.url));
const [, , workers, app, address] = process.argv;

// Private, and the only way to bind without listening: a parent that listened would have to accept as well.
const handle = address.startsWith('/')
  ? net._createServerHandle(address, -1, -1)
  : net._createServerHandle('127.0.0.1', Number(address), 4);
if (typeof handle === 'number') throw new Error(`cannot bind ${address}: error ${handle}`);

const children = Array.from({ length: Number(workers) }, () =>
  spawn(process.execPath, [...process.execArgv, serve, app, 'fd:3'], {
    stdio: ['ignore', 'inherit', 'inherit', handle.fd],
  }).on('exit', end),
);
process.on('SIGTERM', end);

function end() {
  for (const child of children) child.kill('SIGKILL');
  process.exit();
}
