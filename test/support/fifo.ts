/** A true pipe for the output of a server: what Node itself gives a child is a pair of sockets. */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { temporaryDirectory } from './server.ts';

export interface Fifo {
  /** For a child's stdio; to be closed with `handOver` when the child has it. */
  readonly fd: number;
  /** Resolves when nobody has the writing end any more, and all has come out. */
  readonly ended: Promise<unknown>;
  /** What has come out so far. */
  text(): string;
  /** Leaves the writing end to the children alone. */
  handOver(): void;
  /** From now on nobody reads: writes to it fail with EPIPE. */
  closeReader(): void;
}

export function fifo(t: TestContext): Fifo {
  const path = join(temporaryDirectory(t), 'fifo');
  spawnSync('mkfifo', [path]);
  // In this order, since a writer waits for a reader; and the writing end blocks, as that of a shell's pipe.
  const reader = new Socket({
    fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK),
    writable: false,
  });
  const fd = openSync(path, constants.O_WRONLY);
  let isOpen = true;
  const handOver = () => {
    if (isOpen) closeSync(fd);
    isOpen = false;
  };
  t.after(() => {
    handOver();
    reader.destroy();
  });
  const chunks: Buffer[] = [];
  reader.on('data', (chunk) => {
    chunks.push(chunk);
    // Slowly, so that the pipe is full most of the time and writers meet.
    reader.pause();
    setTimeout(() => reader.resume(), 40);
  });
  return {
    fd,
    ended: new Promise((resolve) => reader.once('end', resolve)),
    text: () => Buffer.concat(chunks).toString(),
    ...{ handOver, closeReader: () => reader.destroy() },
  };
}
