/**
 * Directories of the benchmark, all in one below the system's for temporary files; gone with it when it ends, fails or is
 * interrupted. One that is killed by SIGKILL leaves them, as it leaves its servers.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let root: string | undefined;
let count = 0;

/** An empty directory with a short name, as a Unix socket's path has room for about 100 characters. */
export function newDirectory(): string {
  if (root === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'fasticorn-bench-'));
    root = made;
    process.on('exit', () => rmSync(made, { recursive: true, force: true, maxRetries: 3 }));
  }
  const directory = join(root, String(++count));
  mkdirSync(directory);
  return directory;
}
