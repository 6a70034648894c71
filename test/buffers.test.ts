/**
 * That an app which keeps many buffers, and makes others, does not have its whole heap collected for each few of these.
 */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { machine } from '../src/machine.ts';
import { fetchFrom } from './support/http.ts';
import { FILE_DECIDES, Site } from './support/site.ts';

/** Keeps 256 MiB, makes 2 GiB that it does not keep, and tells how often its whole heap was collected meanwhile. */
const APP = `
  import { constants, PerformanceObserver } from 'node:perf_hooks';
  let collections = 0;
  new PerformanceObserver((list) => {
    for (const { detail } of list.getEntries()) if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) collections++;
  }).observe({ entryTypes: ['gc'] });
  const buffer = () => Buffer.allocUnsafeSlow(2 ** 20);
  const kept = Array.from({ length: 256 }, buffer);
  export default async function (app) {
    app.get('/work', async () => {
      let bytes = 0;
      for (let made = 0; made < 2048; made++) {
        bytes += buffer().length;
        // Something for the young generation.
        Array.from({ length: 1000 }, (_, index) => ({ index }));
      }
      return { bytes, kept: kept.length };
    });
    app.get('/collections', async () => collections);
  }`;

async function collectionsOf(t: TestContext, ...args: string[]): Promise<number> {
  const site = new Site(t);
  site.write('app.mjs', APP);
  const server = await site.start(['--workers', '1', ...args], { env: FILE_DECIDES });
  const ask = async (path: string) => (await fetchFrom({ socketPath: site.socket }, path)).body;
  const before = Number(await ask('/collections'));
  assert.deepEqual(JSON.parse(await ask('/work')), { bytes: 2 ** 31, kept: 256 });
  const made = Number(await ask('/collections')) - before;
  assert.equal(await server.stop(), 0);
  return made;
}

const isChanged = [14.6, 14.7].includes(Number.parseFloat(process.versions.v8));
const skip =
  (!isChanged && 'only Node 26 is changed') || (machine().memory !== undefined && 'memory is limited here');

describe('a worker', { skip }, () => {
  it('collects its whole heap for buffers half as often, at most, as V8 does by itself', async (t) => {
    const own = await collectionsOf(t);
    const standard = await collectionsOf(t, '--node-options=--no-external-memory-accounted-in-global-limit');
    assert.ok(own <= standard / 2, `${own} collections, and ${standard} by itself`);
  });
});
