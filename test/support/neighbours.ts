/**
 * Others who may stand at the path of a socket: servers alive, dead, and too busy to answer.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, renameSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

/** A server in this process that accepts and says nothing. */
export async function liveServer(t: TestContext, path: string): Promise<Server> {
  const server = createServer((socket) => socket.resume().on('error', () => {})).listen(path);
  await once(server, 'listening');
  t.after(() => server.close());
  return server;
}

/** A socket file with nobody behind it, as a killed server leaves one. */
export async function deadSocket(path: string): Promise<void> {
  const bound = `${path}~`;
  const server = createServer().listen(bound);
  await once(server, 'listening');
  // Closing unlinks the name that was bound: it is not there any more.
  renameSync(bound, path);
  server.close();
  await once(server, 'close');
}

/** A process that listens with a backlog of 1 and never accepts, its queue filled. */
export async function fullQueue(t: TestContext, path: string): Promise<void> {
  const code = `
    require('node:net').createServer().listen({ path: process.argv[1], backlog: 1 }, () => {
      require('node:fs').writeSync(1, 'listening');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  await says(t, spawn(process.execPath, ['-e', code, path], { stdio: ['ignore', 'pipe', 'inherit'] }));
  const waiting: Socket[] = [];
  t.after(() => {
    for (const socket of waiting) socket.destroy();
  });
  for (;;) {
    const socket = connect(path).on('error', () => {});
    const full = await once(socket, 'connect').then(
      () => false,
      () => true,
    );
    if (full) return;
    waiting.push(socket);
  }
}

/** A datagram socket, which Node does not make, with its owner alive. It needs perl. */
export async function datagramSocket(t: TestContext, path: string): Promise<void> {
  const code = `$| = 1; my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die;
    print "bound"; sleep 3600`;
  const args = ['-MIO::Socket::UNIX', '-e', code, path];
  await says(t, spawn('perl', args, { stdio: ['ignore', 'pipe', 'inherit'] }));
}

/** Waits until a process has said something. */
async function says(t: TestContext, child: ChildProcess): Promise<void> {
  t.after(() => child.kill('SIGKILL'));
  const ended = new Promise((_, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`it ended with ${code}`)));
  });
  await Promise.race([once(child.stdout!, 'data'), ended]);
}

/** What identifies a file: unchanged as long as nobody replaces or touches it. */
export function fingerprint(path: string): string {
  const { dev, ino, mode, uid, gid, ctimeMs } = lstatSync(path);
  return [dev, ino, mode, uid, gid, ctimeMs].join(' ');
}
