/**
 * What a suite needs from the machine besides Node. Knows how to find out and how to have it; which suites need
 * what, they say themselves: `describe('behind nginx', need('nginx'), () => …)`.
 */
import { spawnSync } from 'node:child_process';

const works = (command: string, ...args: string[]): boolean =>
  spawnSync(command, args, { stdio: 'ignore', timeout: 30_000 }).status === 0;

/** A command of a package of Debian, which runs with these arguments where it is there. */
const inDebian = (command: string, fromPackage: string, ...args: string[]) => ({
  present: () => works(command, ...args),
  how: `install ${command} (Debian: apt-get install ${fromPackage})`,
});

const tools = {
  curl: inDebian('curl', 'curl', '--version'),
  h2load: inDebian('h2load', 'nghttp2-client', '--version'),
  perl: inDebian('perl', 'perl-base', '-MIO::Socket::UNIX', '-e', '1'),
  ps: inDebian('ps', 'procps', '--version'),
  script: inDebian('script', 'bsdutils', '--version'),
  ss: inDebian('ss', 'iproute2', '-V'),
  'systemd-socket-activate': inDebian('systemd-socket-activate', 'systemd', '--version'),
  nginx: {
    present: () => works('nginx', '-v'),
    how: 'install nginx 1.22 or newer (Debian: apt-get install nginx)',
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
