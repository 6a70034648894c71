/**
 * Looks for something in a directory and those above it, as Node does for packages.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The nearest file of that name in a directory or above it; with a slash at its end only a directory is one. */
export function upwards(directory: string, name: string): string | undefined {
  const path = join(directory, name);
  if (existsSync(path)) return path;
  return directory === dirname(directory) ? undefined : upwards(dirname(directory), name);
}
