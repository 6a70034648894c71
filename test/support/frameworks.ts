/**
 * The apps of test/apps/frameworks: where they are, what takes them long, and projects that are made around them.
 */
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { LongAnswer } from './promises.ts';
import { app, temporaryDirectory } from './server.ts';

/** The directory of what is installed for this project. */
export const installed = fileURLToPath(new URL('../../node_modules', import.meta.url));

const BLOCKS = 256;
const blocks = createHash('sha256');
for (let number = 0; number < BLOCKS; number++) blocks.update(Buffer.alloc(65_536, number));
const whole = blocks.digest('hex');

/** 16 MiB, all of them right. */
export const download: LongAnswer = {
  path: '/download',
  isWhole: (body) => createHash('sha256').update(body).digest('hex') === whole,
};

/** An event stream of a second. */
export const events: LongAnswer = {
  path: '/events',
  headers: { accept: 'text/event-stream' },
  isWhole: (body) =>
    [...body.toString().matchAll(/^data: (\d)$/gm)].map(([, n]) => n).join('') === '0123456789',
};

/**
 * A project with the apps in it, and a server.mjs of this source; its path is the result.
 *
 * @param fastify which of the installed packages it has as `fastify`.
 */
export function project(t: TestContext, source: string, fastify = 'fastify'): string {
  const directory = temporaryDirectory(t);
  const modules = join(directory, 'node_modules');
  if (fastify === 'fastify') symlinkSync(installed, modules);
  else {
    mkdirSync(modules);
    symlinkSync(join(installed, fastify), join(modules, 'fastify'));
  }
  cpSync(app('frameworks'), directory, { recursive: true });
  const file = join(directory, 'server.mjs');
  writeFileSync(file, source);
  return file;
}
