/**
 * What a reload may change, and what it leaves for a restart.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { load } from '../src/config/load.ts';
import { reloaded } from '../src/config/reload.ts';
import { rows } from '../src/config/settings.ts';

const read = (values: Record<string, unknown>, ...argv: string[]) =>
  load(argv, {}, { cpus: 4 }, { path: 'fasticorn.config.mjs', values, lineOf: () => 3 });

describe('A reload', () => {
  it('takes every setting that needs no restart, with its place, and the app', () => {
    const values = { app: 'new.js', workers: 2, bind: 'unix:/tmp/new.sock', gracefulTimeout: 5 };
    const fresh = read(values);
    const { loaded, notes } = reloaded(read({ app: 'old.js', workers: 1 }), fresh);
    assert.deepEqual(loaded, fresh);
    assert.deepEqual(notes, []);
  });

  it('leaves what only a restart can change as it is, value and place, and says so', () => {
    const { loaded, notes } = reloaded(read({}, '--pid', '/run/a.pid'), read({ pid: '/run/b.pid' }));
    assert.equal(loaded.config.pid, '/run/a.pid');
    assert.deepEqual(loaded.origins.pid, { from: 'flag', name: '--pid' });
    assert.deepEqual(notes, [
      '--pid is now /run/b.pid: that takes a restart; until then it stays /run/a.pid',
    ]);
  });

  it('says as well when such a setting comes or goes', () => {
    const [without, set] = [read({}), read({ socketGroup: 'www-data' })];
    assert.match(reloaded(without, set).notes[0]!, /^--socket-group is now www-data: .* it stays not set$/);
    assert.match(reloaded(set, without).notes[0]!, /^--socket-group is now not set: .* it stays www-data$/);
    assert.equal(reloaded(set, without).loaded.config.socketGroup, 'www-data');
    assert.equal(reloaded(without, set).loaded.config.socketGroup, undefined);
  });

  it('shows values as people write them', () => {
    const { notes } = reloaded(read({ socketMode: '0660' }), read({ socketMode: '0600' }));
    assert.match(notes[0]!, /^--socket-mode is now 0600: .* stays 0660$/);
  });

  it('says nothing of a value that is the same, wherever it stands now', () => {
    const { loaded, notes } = reloaded(read({}, '--socket-mode', '660'), read({ socketMode: 0o660 }));
    assert.deepEqual(notes, []);
    assert.equal(loaded.origins.socketMode.from, 'file');
  });

  it('says it again with the next reload, as the running value is the old one still', () => {
    const fresh = read({ pid: '/run/b.pid' });
    const once = reloaded(read({ pid: '/run/a.pid' }), fresh);
    assert.equal(reloaded(once.loaded, fresh).notes.length, 1);
    assert.deepEqual(reloaded(once.loaded, read({ pid: '/run/a.pid' })).notes, []);
  });

  it('is refused when the config file has gone, rather than falling back to the defaults', () => {
    const running = read({}, '--config', 'conf/app.mjs');
    assert.throws(() => reloaded(running, read({})), /^UserError: conf\/app\.mjs: the config file has gone/);
  });

  it('takes a config file that has come, and is refused when that has gone again', () => {
    const { loaded, notes } = reloaded(read({}), read({}, '--config', 'conf/app.mjs'));
    assert.equal(loaded.config.config, 'conf/app.mjs');
    assert.deepEqual(notes, []);
    assert.throws(() => reloaded(loaded, read({})), /^UserError: conf\/app\.mjs: the config file has gone/);
  });

  it('keeps every setting of the table that only a restart can change', () => {
    const running = read({});
    const fresh = read({});
    for (const [name] of rows) Object.assign(fresh.config, { [name]: running.config.bind });
    fresh.config.inspect = { kind: 'tcp', host: '127.0.0.1', port: 9229 };
    const { config } = reloaded(running, fresh).loaded;
    for (const [name, { applies }] of rows) {
      if (['bind', 'socketMode'].includes(name)) continue;
      assert.deepEqual(
        config[name],
        applies === 'restart' ? running.config[name] : running.config.bind,
        name,
      );
    }
  });
});
