/**
 * Sockets for a server to inherit, as systemd or another supervisor has them: bound here, and kept here.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { bindTcp, bindUnix } from '../../src/arbiter/server-handle.ts';

/** A port of loopback, which stays bound until the test ends. */
export function boundPort(t: TestContext, family: 4 | 6 = 4): { fd: number; port: number } {
  const host = family === 4 ? '127.0.0.1' : '::1';
  const socket = bindTcp(host, { port: 0, family, reusePort: false });
  assert(!('error' in socket));
  t.after(() => socket.close());
  return { fd: socket.fd, port: socket.local!.port };
}

/** A Unix socket, whose path is there until the test ends. */
export function boundPath(t: TestContext, path: string): { fd: number } {
  const socket = bindUnix(path);
  assert(!('error' in socket));
  t.after(() => socket.close());
  return { fd: socket.fd };
}
