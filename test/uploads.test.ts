/**
 * That bodies of requests which are gone do not have the whole heap collected again and again.
 */
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { machine } from '../src/machine.ts';
import { fetchFrom } from './support/http.ts';
import { FILE_DECIDES, Site } from './support/site.ts';

/** Takes files, and tells how often the whole heap was collected meanwhile. */
const APP = `
  import { constants, PerformanceObserver } from 'node:perf_hooks';
  let collections = 0;
  new PerformanceObserver((list) => {
    for (const { detail } of list.getEntries()) if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) collections++;
  }).observe({ entryTypes: ['gc'] });
  export const options = { bodyLimit: 2 ** 20 };
  export default async function (app) {
    app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    app.post('/', async ({ body }) => String(body.length));
    app.get('/collections', async () => collections);
  }`;

const FILE = Buffer.alloc(2 ** 20, 'x');
const COUNT = 800;
const ALL_AT_ONCE = 8;

/** How often the heap is collected for uploads of 1 MiB. */
async function collectionsFor(t: TestContext, ...args: string[]): Promise<number> {
  const site = new Site(t);
  site.write('app.mjs', APP);
  const server = await site.start(['--workers', '1', '--access-logfile', 'off', ...args], {
    env: FILE_DECIDES,
  });
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const target = { socketPath: site.socket };
  const collections = async () => Number((await fetchFrom(target, '/collections')).body);
  const before = await collections();
  let left = COUNT;
  const client = async () => {
    while (left-- > 0) {
      const { status, body } = await fetchFrom(target, '/', { method: 'POST', body: FILE, agent });
      assert.deepEqual([status, body], [200, String(FILE.length)]);
    }
  };
  await Promise.all(Array.from({ length: ALL_AT_ONCE }, client));
  const made = (await collections()) - before;
  agent.destroy();
  assert.equal(await server.stop(), 0);
  return made;
}

const isChanged = [14.6, 14.7].includes(Number.parseFloat(process.versions.v8));
const skip =
  (!isChanged && 'only Node 26 is changed') || (machine().memory !== undefined && 'memory is limited here');

describe('a worker', { skip }, () => {
  // About half as often; on a machine that does nothing else, a third.
  it('collects its whole heap less often for uploads than V8 does by itself', async (t) => {
    const own = await collectionsFor(t);
    const standard = await collectionsFor(t, '--node-options=--no-external-memory-accounted-in-global-limit');
    assert.ok(own < (standard * 2) / 3, `${own} collections, and ${standard} by itself`);
  });
});
