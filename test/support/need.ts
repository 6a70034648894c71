/**
 * What a suite needs from the machine besides Node. Knows how to find out and how to have it; which suites need
 * what, they say themselves: `describe('behind nginx', need('nginx'), () => …)`.
 */
import { spawnSync } from 'node:child_process';

const works = (command: string, ...args: string[]): boolean =>
  spawnSync(command, args, { stdio: 'ignore', timeout: 30_000 }).status === 0;

const tools = {
  nginx: {
    present: () => works('nginx', '-v'),
    how: 'install nginx 1.22 or newer (Debian: apt-get install nginx)',
  },
  h2load: {
    present: () => works('h2load', '--version'),
    how: 'install h2load (Debian: apt-get install nghttp2-client)',
  },
  docker: {
    present: () => works('docker', 'compose', 'version') && works('docker', 'info'),
    how: 'install Docker with the compose plugin, and let this user reach its daemon',
  },
};

/**
 * Options for `describe`: skips the suite, and says why, where the tool is missing.
 *
 * @throws Error with CI=true, where a missing tool is a failure.
 */
export function need(tool: keyof typeof tools): { skip: false | string } {
  const { present, how } = tools[tool];
  if (present()) return { skip: false };
  const reason = `needs ${tool} — ${how}`;
  if (process.env.CI === 'true') throw new Error(`With CI=true nothing is skipped. This suite ${reason}.`);
  return { skip: reason };
}
