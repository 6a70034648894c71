/**
 * How large the heaps of workers may grow where memory is limited: the share, who is asked before, and that V8 hears it.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { load } from '../src/config/load.ts';
import { heapLimit, heapNote } from '../src/heap.ts';
import { prepareLaunch } from '../src/launch.ts';
import { fetchFrom } from './support/http.ts';
import { CLI, Server, until } from './support/server.ts';
import { Site } from './support/site.ts';

const MIB = 1024 * 1024;

describe('the limit of a heap', () => {
  const limit = (memory: number, workers: number, own = 4096) =>
    heapLimit(memory * MIB, workers, () => own * MIB);

  it('is none without a limit of memory', () =>
    assert.equal(
      heapLimit(undefined, 4, () => 4096 * MIB),
      undefined,
    ));

  it('is three quarters of what the arbiter leaves, divided by the workers', () => {
    assert.equal(limit(512, 2, 259), 168);
    assert.equal(limit(1024, 4, 515), 180);
    assert.equal(limit(8192, 8), 762);
  });

  it('is left to V8 where that would choose no more', () => {
    assert.equal(limit(512, 1, 259), undefined);
    assert.equal(limit(65_536, 2, 4144), undefined);
  });

  it('is never so small that no app could start', () => {
    assert.equal(limit(256, 8), 64);
    assert.equal(limit(32, 2), 64);
  });

  it('is told with its reason', () => {
    assert.equal(
      heapNote(168, 512 * MIB, 2),
      'the heap of each worker is limited to 168 MiB (--max-old-space-size): memory is limited to 512 MiB, for 2 workers',
    );
  });

  /** Two workers where there is so much memory. */
  const launchWith =
    (memory: number | undefined) =>
    (argv: string[], env = {}, execArgv: string[] = []) => {
      const machine = { cpus: 2, memory };
      return prepareLaunch(load(['-w', '2', ...argv], {}, machine), { env, execArgv, machine });
    };

  it('is what the operator says, wherever he says it', async () => {
    const launch = launchWith(300 * MIB);
    assert.deepEqual((await launch([])).flags, ['--max-old-space-size=88']);
    assert.equal((await launch([])).notes.length, 1);
    for (const one of [
      launch(['--node-options=--max-old-space-size=200']),
      launch([], { NODE_OPTIONS: '--no-warnings --max_old_space_size=200' }),
      launch([], {}, ['--max-old-space-size=200']),
    ]) {
      const { flags, notes } = await one;
      assert.ok(!flags.includes('--max-old-space-size=88'));
      assert.deepEqual(notes, []);
    }
  });

  it('is one of the limits of memory that workers are told of', async () => {
    const launch = launchWith(undefined);
    assert.ok((await launchWith(300 * MIB)([])).isMemoryLimited);
    assert.ok((await launch(['--node-options=--max-old-space-size=200'])).isMemoryLimited);
    assert.ok((await launch(['--max-memory=500'])).isMemoryLimited);
    assert.ok(!(await launch([])).isMemoryLimited);
  });
});

/** Makes a cgroup below that of this process, with so many bytes of memory; undefined where that is not possible. */
function makeCgroup(memory: number): string | undefined {
  const own = readFileSync('/proc/self/cgroup', 'utf8');
  const [, v1] = /^\d+:(?:.*,)?memory(?:,.*)?:(.*)$/m.exec(own) ?? [];
  const [, v2 = '/'] = /^0::(.*)$/m.exec(own) ?? [];
  const parent = v1 === undefined ? join('/sys/fs/cgroup', v2) : join('/sys/fs/cgroup/memory', v1);
  let folder: string;
  try {
    folder = mkdtempSync(join(parent, 'fasticorn-test-'));
  } catch {
    return undefined;
  }
  try {
    writeFileSync(join(folder, v1 === undefined ? 'memory.max' : 'memory.limit_in_bytes'), String(memory));
    return folder;
  } catch {
    rmdirSync(folder);
    return undefined;
  }
}

it('in a cgroup with 512 MiB each of two workers has its share, and the log says so once', async (t) => {
  const folder = makeCgroup(512 * MIB);
  if (folder === undefined) return t.skip('needs the right to make a cgroup with a limit of memory');
  const site = new Site(t);
  site.write(
    'app.mjs',
    `import { getHeapStatistics } from 'node:v8';
    export default async function (app) {
      app.get('/', async () => String(getHeapStatistics().heap_size_limit / 2 ** 20));
    }`,
  );
  const script = 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"';
  const command = [process.execPath, CLI, '-b', `unix:${site.socket}`, '-w', '2', './app.mjs'];
  const child = spawn('sh', ['-c', script, 'sh', folder, ...command], { cwd: site.directory });
  const server = new Server(child, site.socket);
  t.after(async () => {
    server.cleanUp();
    await until(() => readFileSync(join(folder, 'cgroup.procs'), 'utf8') === '', 'an empty cgroup');
    rmdirSync(folder);
  });
  await until(() => existsSync(site.socket), 'the socket');
  const limit = Number((await fetchFrom({ socketPath: site.socket }, '/')).body);
  // V8 counts some of the new generation in, as much as its version wants.
  assert.ok(limit >= 168 && limit < 250, `${limit} MiB`);
  assert.equal(server.log().filter(({ msg }) => /is limited to 168 MiB/.test(msg)).length, 1);
  assert.equal(await server.stop(), 0);
});
