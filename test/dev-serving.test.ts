/**
 * `fasticorn dev`: who is answered by which code around a reload, and what is watched besides the code.
 */
import assert from 'node:assert/strict';
import { mkdirSync, realpathSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Watcher } from '../src/arbiter/watcher.ts';
import { answers, appOf, develop, moduleOf } from './support/development.ts';
import { fetchFrom } from './support/http.ts';
import { RawConnection } from './support/raw.ts';
import { temporaryDirectory, until } from './support/server.ts';
import { type Site, versionApp } from './support/site.ts';

/** Returns what makes a change, and waits until it was noticed and all have been replaced. */
const noticing = (site: Site) => async (what: string, change: () => void) => {
  const { current } = (await site.status()).generation;
  change();
  await until(async () => (await site.status()).generation.current > current, `${what} to be noticed`);
  await until(async () => (await site.status()).generation.next === null, 'the reload to end');
};

describe('--watch-extra', () => {
  it('watches a file, and all that is or comes to be in a directory', async (t) => {
    const { site } = await develop(
      t,
      { 'app.mjs': versionApp('1'), 'views/a.html': '1', 'messages.txt': '1' },
      { args: ['--watch-extra', 'views', '--watch-extra', 'messages.txt,later'] },
    );
    const notice = noticing(site);
    for (const name of [
      'messages.txt',
      'views/a.html',
      'views/new.html',
      'views/sub/deep/b.html',
      'later/c.html',
    ]) {
      for (const text of ['2', '3']) await notice(name, () => site.write(name, text));
    }
  });

  it('watches directories in which there is nothing yet', async (t) => {
    const { site } = await develop(
      t,
      { 'app.mjs': versionApp('1'), 'views/empty/.hidden': '' },
      { args: ['--watch-extra', 'views'] },
    );
    const notice = noticing(site);
    await notice('the app', () => site.write('app.mjs', versionApp('2')));
    await notice('a file in it', () => site.write('views/empty/a.html', '1'));
    await notice('a new directory', () => mkdirSync(join(site.directory, 'views/new')));
    await notice('a file there', () => site.write('views/new/b.html', '1'));
    await notice('a directory in the place of another one', () => {
      renameSync(join(site.directory, 'views/new'), join(site.directory, 'views/old'));
      site.write('views/new/c.html', '1');
    });
    await notice('a file that is new there', () => site.write('views/new/d.html', '1'));
  });

  it('outlives links that lead back to where they are', async (t) => {
    const { site } = await develop(
      t,
      { 'app.mjs': versionApp('1'), 'views/a.html': '1' },
      { args: ['--watch-extra', 'views'] },
    );
    const notice = noticing(site);
    for (const name of ['one', 'two', 'three'])
      await notice(name, () => symlinkSync('.', join(site.directory, 'views', name)));
    await notice('a file', () => site.write('views/a.html', '2'));
  });
});

describe('The watcher', () => {
  it('walks a directory once, whichever links lead to it', (t) => {
    const directory = realpathSync(temporaryDirectory(t));
    for (const name of ['a', 'b', 'c']) symlinkSync('.', join(directory, name));
    const watcher = new Watcher({ root: directory, onChange: () => {}, warn: assert.fail });
    t.after(() => watcher.close());
    watcher.keepAll(directory);
  });

  it('says so when something goes wrong after a change, and goes on', async (t) => {
    const directory = realpathSync(temporaryDirectory(t));
    const file = join(directory, 'file');
    const warnings: string[] = [];
    const onChange = () => {
      throw new Error('no luck');
    };
    const watcher = new Watcher({ root: directory, onChange, warn: (text) => warnings.push(text) });
    t.after(() => watcher.close());
    watcher.keep(file);
    for (const count of [1, 2]) {
      writeFileSync(file, `${count}`);
      await until(() => warnings.length >= count, 'the warning');
      assert.match(warnings.at(-1)!, /no luck/);
    }
  });
});

it('Once the log says that new code serves, nobody is answered by old code, on kept-alive connections neither', async (t) => {
  const { site, server } = await develop(t, {
    'app.mjs': appOf('./version.mjs'),
    'version.mjs': moduleOf('1'),
  });
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const target = { socketPath: site.socket };
  for (let number = 2; number <= 4; number++) {
    await fetchFrom(target, '/version', { agent });
    const preconnected = await RawConnection.open(site.socket);
    site.write('version.mjs', moduleOf(String(number)));
    await until(() => server.stderr.includes(`generation ${number} serves`), 'the line');
    const both = await Promise.all([fetchFrom(target, '/version', { agent }), fetchFrom(target, '/version')]);
    assert.deepEqual(
      both.map(({ body }) => body),
      [String(number), String(number)],
    );
    await until(() => preconnected.ended, 'the end of a connection without a request');
  }
});

it('A request that is being answered during a reload is finished by the code that began it', async (t) => {
  const slow = (version: string) =>
    versionApp(
      version,
      `app.get('/slow', () => new Promise((resolve) => {
      const timer = setInterval(() => {
        if (!process.getBuiltinModule('fs').existsSync('gate')) return;
        clearInterval(timer);
        resolve('${version} has answered');
      }, 10);
    }));`,
    );
  const { site } = await develop(t, { 'app.mjs': slow('1') });
  const connection = await RawConnection.open(site.socket);
  connection.get('/slow');
  await until(
    async () => (await site.status()).workers.some(({ inFlight }) => inFlight === 1),
    'the request',
  );
  site.write('app.mjs', slow('2'));
  await answers(site, '2');
  site.write('gate', '');
  await until(() => connection.ended, 'the answer');
  assert.match(connection.received, /^connection: close\r$/im);
  assert.match(connection.received, /1 has answered$/);
});

it('SIGINT ends it, with connections and a reload under way', async (t) => {
  const { site, server } = await develop(t, { 'app.mjs': versionApp('1') });
  const idle = await RawConnection.open(site.socket);
  site.deploy('2', 'await new Promise((resolve) => setTimeout(resolve, 1e9));');
  await until(async () => (await site.status()).generation.next === 2, 'the reload to begin');
  server.kill('SIGINT');
  assert.equal((await server.exited).code, 0);
  await until(() => idle.ended || idle.error, 'the connection to end');
});
