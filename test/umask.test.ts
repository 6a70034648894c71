/**
 * The umask: which permissions the files of arbiter, workers and app do not get.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fasticorn } from './support/command.ts';
import { fetchFrom } from './support/http.ts';
import { Lineage } from './support/lineage.ts';
import { until } from './support/server.ts';
import { Site } from './support/site.ts';

/** An app that makes a file when it is loaded, and one for each request. */
const APP = `
  import { writeFileSync } from 'node:fs';
  writeFileSync('loaded', '');
  export default async (app) => {
    app.get('/write', async () => { writeFileSync('written', ''); return 'done'; });
  };`;

const modeOf = (site: Site, name: string) => (statSync(join(site.directory, name)).mode & 0o777).toString(8);
const umaskOf = (pid: number) => /^Umask:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];

describe('the umask', () => {
  it("is for logs and the app's files, not for sockets and the pid file", async (t) => {
    const site = new Site(t);
    site.write('app.mjs', APP);
    const logs = ['--access-logfile', 'access.log', '--error-logfile', 'error.log'];
    await site.start(['--umask', '027', '--pid', 'pid', ...logs]);
    await fetchFrom({ socketPath: site.socket }, '/write');
    const modes = ['loaded', 'written', 'access.log', 'error.log', 'app.sock', 'app.sock.ctl', 'pid'];
    assert.deepEqual(
      modes.map((name) => modeOf(site, name)),
      ['640', '640', '640', '640', '666', '600', '644'],
    );
  });

  it('may be 0, and even then nobody else may give orders', async (t) => {
    const site = new Site(t);
    site.write('app.mjs', APP);
    await site.start(['-m', '0']);
    assert.deepEqual(
      ['loaded', 'app.sock.ctl'].map((name) => modeOf(site, name)),
      ['666', '600'],
    );
  });

  it('is as inherited without the setting', async (t) => {
    const site = new Site(t);
    site.write('app.mjs', APP);
    const before = process.umask(0o077);
    const server = await site.start().finally(() => process.umask(before));
    assert.deepEqual([server.pid, ...server.workers()].map(umaskOf), ['0077', '0077', '0077']);
  });

  it('changes with a restart, which a reload says, or with an upgrade, to the inherited one as well', async (t) => {
    const lineage = new Lineage(t);
    const site = new Site(t);
    site.write('app.mjs', APP);
    site.write('fasticorn.config.json', '{ "umask": "027" }');
    const before = process.umask(0o022);
    const server = await site.start([], { env: lineage.env }).finally(() => process.umask(before));
    site.write('fasticorn.config.json', '{}');
    assert.equal((await site.ask('reload')).code, 0);
    assert(server.log().some(({ msg }) => msg.startsWith('--umask is now not set: that takes a restart')));
    assert.equal(umaskOf(server.workers().at(-1)!), '0027');
    assert.equal((await site.ask('upgrade')).code, 0);
    await until(
      () => lineage.arbiters().length === 1 && !existsSync(`/proc/${server.pid}`),
      'the next arbiter',
    );
    assert.deepEqual(
      lineage.members().map(({ pid }) => umaskOf(pid)),
      ['0022', '0022', '0022'],
    );
  });

  it('is for --check-config as well', async (t) => {
    const site = new Site(t);
    site.write('app.mjs', APP);
    const { code } = await fasticorn(t, ['--check-config', '-m', '077', './app.mjs'], {
      cwd: site.directory,
    });
    assert.equal(code, 0);
    assert.equal(modeOf(site, 'loaded'), '600');
  });

  for (const value of ['8', '0800', '1777', '-1', '0o', 'rwx']) {
    it(`is not ${value}`, async (t) => {
      const { code, stderr } = await fasticorn(t, [`--umask=${value}`, 'app.mjs']);
      assert.equal(code, 1);
      assert.equal(
        stderr,
        `fasticorn: --umask: "${value}" is not valid: expected an octal mask such as 027\n`,
      );
    });
  }
});
