/**
 * Another user than the one who runs the tests.
 */
import type { TestContext } from 'node:test';
import { fasticorn } from './command.ts';
import { CLI } from './server.ts';

/** The number of the user nobody, whose primary group has the same one or none here. */
export const NOBODY = 65534;

/** Why that user cannot be tried, or false: it must be able to read this Node and this project. */
export async function hindrance(t: TestContext): Promise<string | false> {
  if (process.getuid?.() !== 0) return 'needs root, to become another user';
  const able = await fasticorn(t, ['--version'], { uid: NOBODY, cwd: '/' }).catch(() => undefined);
  return able?.code === 0 ? false : `user ${NOBODY} may not run ${process.execPath} or read ${CLI}`;
}
