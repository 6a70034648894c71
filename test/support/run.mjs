/**
 * `npm test`: runs test/*.test.ts with this Node, after the build. `npm test -- docker stop` runs only
 * docker.test.ts and stop.test.ts. How results are shown is the reporter's business.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const wanted = process.argv
  .slice(2)
  .map((name) => `test/${name.replace(/^test\//, '').replace(/\.test\.ts$/, '')}.test.ts`);
const all = readdirSync(new URL('..', import.meta.url))
  .filter((name) => name.endsWith('.test.ts'))
  .sort()
  .map((name) => `test/${name}`);

const missing = wanted.filter((file) => !existsSync(new URL(`../../${file}`, import.meta.url)));
if (missing.length > 0) {
  console.error(`There is no ${missing.join(', no ')}. There are: ${all.join(' ')}`);
  process.exit(1);
}

const child = spawn(
  process.execPath,
  [
    ...['--import', 'tsx', '--test', '--test-concurrency=2', '--test-timeout=600000'],
    ...['--test-reporter=./test/support/reporter.mjs', '--test-reporter-destination=stdout'],
    ...(wanted.length > 0 ? wanted : all),
  ],
  { cwd: root, stdio: 'inherit' },
);
// A terminal's Ctrl-C reaches the child by itself; what is sent to this process alone is passed on.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
