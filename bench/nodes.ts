/** The Nodes that servers can be run with: the one that runs the benchmark, and those that the peers have installed. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** The binary of a major version; undefined if it is not there, or does not run. */
export function nodeOf(major: number): string | undefined {
  const installed = join(import.meta.dirname, `peers/node_modules/node${major}/bin/node`);
  if (nodeVersion(installed)?.startsWith(`${major}.`)) return installed;
  return process.versions.node.startsWith(`${major}.`) ? process.execPath : undefined;
}

/** Such as `22.20.0`; undefined if it does not run. */
export function nodeVersion(binary: string): string | undefined {
  const { status, stdout } = spawnSync(binary, ['-p', 'process.versions.node'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}
