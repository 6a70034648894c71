/**
 * What a suite needs from the machine besides Node. Knows how to find out and how to have it; which suites need
 * what, they say themselves: `describe('behind nginx', need('nginx'), () => …)`.
 */
import { spawnSync } from 'node:child_process';

const works = (command: string, ...args: string[]): boolean =>
  spawnSync(command, args, { stdio: 'ignore', timeout: 30_000 }).status === 0;

const tools = {
  curl: {
    present: () => works('curl', '--version'),
    how: 'install curl (Debian: apt-get install curl)',
  },
  perl: {
    present: () => works('perl', '-MIO::Socket::UNIX', '-e', '1'),
    how: 'install perl (Debian: apt-get install perl-base)',
  },
  ps: {
    present: () => works('ps', '--version'),
    how: 'install ps (Debian: apt-get install procps)',
  },
  ss: {
    present: () => works('ss', '-V'),
    how: 'install ss (Debian: apt-get install iproute2)',
  },
  script: {
    present: () => works('script', '--version'),
    how: 'install script (Debian: apt-get install bsdutils)',
  },
  'systemd-socket-activate': {
    present: () => works('systemd-socket-activate', '--version'),
    how: 'install it (Debian: apt-get install systemd)',
  },
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
 * Options for `describe` and `it`: skips what needs a tool that is missing, and says why.
 *
 * @throws Error with CI=true, where a missing tool is a failure.
 */
export function need(...wanted: (keyof typeof tools)[]): { skip: false | string } {
  const tool = wanted.find((one) => !tools[one].present());
  if (tool === undefined) return { skip: false };
  const reason = `needs ${tool} — ${tools[tool].how}`;
  if (process.env.CI === 'true')
    throw new Error(`With CI=true nothing is skipped. What is tested here ${reason}.`);
  return { skip: reason };
}
