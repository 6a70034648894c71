/**
 * What `npm pack` makes of this project: it holds what it needs, installs into an empty project, serves and has types.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { fetchFrom } from './support/http.ts';
import { afterwards, temporaryDirectory, until } from './support/server.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const run = promisify(execFile);

/** Packs what was built last; the build itself would take dist away from other tests. */
async function pack(t: TestContext): Promise<{ tarball: string; files: string[] }> {
  const directory = temporaryDirectory(t);
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', directory];
  const { stdout } = await run('npm', args, { cwd: root });
  const [{ filename, files }] = JSON.parse(stdout);
  return { tarball: join(directory, filename), files: files.map(({ path }: { path: string }) => path) };
}

describe('the package', () => {
  it('holds compiled code, types, nginx.conf, README and licence, and nothing else', async (t) => {
    const { files } = await pack(t);
    const rest = files.filter((file) => !/^dist\/[\w/-]+\.(js|d\.ts)$/.test(file)).sort();
    assert.deepEqual(rest, [
      'LICENSE',
      'README.md',
      'dist/config.schema.json',
      'nginx/nginx.conf',
      'package.json',
    ]);
    for (const file of ['dist/cli.js', 'dist/index.d.ts', 'dist/worker/worker.js']) {
      assert(files.includes(file), file);
    }
  });

  it('installs into an empty project, serves an app, and has types', { timeout: 180_000 }, async (t) => {
    const { tarball } = await pack(t);
    const project = realpathSync(temporaryDirectory(t));
    const install = ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball];
    writeFileSync(join(project, 'package.json'), '{ "private": true }');
    await run('npm', install, { cwd: project });

    writeFileSync(
      join(project, 'app.mjs'),
      "export default async (app) => { app.get('/', async () => 'installed'); };",
    );
    const socket = join(project, 'app.sock');
    const child = spawn('npx', ['fasticorn', '-b', `unix:${socket}`, '-w', '1', 'app.mjs'], {
      cwd: project,
      stdio: 'ignore',
      detached: true,
    });
    // npx has children of its own: the group is ours alone.
    afterwards(t, () => child.exitCode === null && process.kill(-child.pid!, 'SIGKILL'));
    await until(() => existsSync(socket) || child.exitCode !== null, 'the socket', 60);
    assert.equal((await fetchFrom({ socketPath: socket }, '/')).body, 'installed');

    writeFileSync(
      join(project, 'use.ts'),
      "import { type Config, defineConfig } from 'fasticorn';\nexport const workers: Config['workers'] = 2;\n" +
        'export default defineConfig({ workers });\n',
    );
    const types = ['--ignoreConfig', '--noEmit', '--strict', '--module', 'nodenext', '--types', '', 'use.ts'];
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    await run(process.execPath, [tsc, ...types], { cwd: project }).catch(({ stdout }) => assert.fail(stdout));

    process.kill(-child.pid!, 'SIGTERM');
    await until(() => child.exitCode !== null || child.signalCode !== null, 'npx to end');
    await until(() => !existsSync(socket), 'the socket to be gone');
  });
});
