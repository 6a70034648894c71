/**
 * That connections which come and go leave nothing behind for the garbage collector to copy and mark.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { fetchFrom } from './support/http.ts';
import { FILE_DECIDES, Site } from './support/site.ts';

/** Tells how many bytes have outlived a collection of the young generation since it was last asked. */
const APP = `
  import { Session } from 'node:inspector/promises';
  const session = new Session();
  session.connect();
  const sample = () => session.post('HeapProfiler.startSampling', {
    samplingInterval: 4096, includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: false,
  });
  const total = ({ selfSize, children }) => children.reduce((sum, child) => sum + total(child), selfSize);
  export default async function (app) {
    await sample();
    app.get('/', async () => 'hello');
    app.get('/survivors', async () => {
      const { profile } = await session.post('HeapProfiler.stopSampling');
      await sample();
      return { bytes: total(profile.head) };
    });
  }`;

const ALL_AT_ONCE = 4;

/** So many requests, each on a connection of its own. */
async function request(socketPath: string, count: number): Promise<void> {
  let left = count;
  const one = () =>
    new Promise<void>((resolve, reject) => {
      connect(socketPath, function (this: import('node:net').Socket) {
        this.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      })
        .on('data', () => {})
        .on('error', reject)
        .on('close', () => resolve());
    });
  const client = async () => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: ALL_AT_ONCE }, client));
}

/** How many bytes of each connection outlive a collection, once V8 has decided what lives long and compiled for that. */
async function survivorsOf(t: TestContext, ...args: string[]): Promise<number> {
  const site = new Site(t);
  site.write('app.mjs', APP);
  const flags = ['--workers', '1', '--access-logfile', 'off', ...args];
  const server = await site.start(flags, { env: FILE_DECIDES });
  const survivors = async () =>
    (await fetchFrom({ socketPath: site.socket }, '/survivors')).json<{ bytes: number }>().bytes;
  await request(site.socket, 15_000);
  await survivors();
  await request(site.socket, 15_000);
  const each = Math.round((await survivors()) / 15_000);
  assert.equal(await server.stop(), 0);
  return each;
}

/** More than 3,000 bytes of each are copied if it is kept alive, and else what Node itself keeps for a while. */
const LIMIT = 2000;

const skip = Number.parseInt(process.versions.v8, 10) < 14 && 'only Node 26 and newer are changed';

describe('a worker', { skip }, () => {
  it('has few objects of a closed connection outlive it', async (t) => {
    const each = await survivorsOf(t);
    assert.ok(each < LIMIT, `${each} bytes of each connection`);
  });

  // Once this fails, V8 does without our help, and its line in v8-tuning.ts can go.
  it('leaves V8 as it is for an operator who has a flag for that', async (t) => {
    const each = await survivorsOf(t, '--node-options=--allocation-site-pretenuring');
    assert.ok(each > LIMIT, `${each} bytes of each connection`);
  });
});
