/**
 * What Gunicorn has is known by name: each setting of it is one of ours, or is refused with the reason.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gunicornSetting, gunicornSettings } from '../src/config/gunicorn.ts';
import { type ConfigFile, load } from '../src/config/load.ts';
import { rows } from '../src/config/settings.ts';
import { UserError } from '../src/errors.ts';

function mistake(argv: string[], values?: Record<string, unknown>): string {
  const file: ConfigFile | undefined = values && { path: 'a.json', values, lineOf: () => 3 };
  try {
    load(argv, {}, { cpus: 1 }, file);
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return error.message;
  }
  assert.fail(`no mistake found in ${JSON.stringify({ argv, values })}`);
}

describe("the table of Gunicorn's settings", () => {
  it('gives a reason for what is not here', () => {
    for (const [name, { ours, why = '' }] of Object.entries(gunicornSettings))
      if (ours === undefined) assert.match(why, /^[\w`'].*[^.]$/, name);
  });

  it('has every setting of ours that has the name of one there', () => {
    const named = new Map(rows.map(([name]) => [name.toLowerCase(), name]));
    for (const [name, setting] of Object.entries(gunicornSettings)) {
      const ours = named.get(name.replaceAll('_', ''));
      if (ours) assert.equal(setting.ours, ours, name);
    }
  });

  it('has no flag twice', () => {
    const flags = Object.values(gunicornSettings).flatMap(({ flags = [] }) => flags);
    assert.equal(new Set(flags).size, flags.length);
  });

  it('is searched by flag and by key, in any spelling', () => {
    const { worker_class: wanted } = gunicornSettings;
    for (const word of ['worker_class', 'workerClass', '--worker-class', '--worker_class', '-k'])
      assert.equal(gunicornSetting(word), wanted, word);
    for (const word of ['', '-', '--', '-K', '--k', 'k', '__proto__', 'toString', '--constructor'])
      assert.equal(gunicornSetting(word), undefined, word);
  });
});

describe('what only Gunicorn has is refused with the reason:', () => {
  const cases: [argv: string[], message: string][] = [
    [
      ['--worker-class', 'gevent'],
      'unknown flag --worker-class, which only Gunicorn has: every worker is asynchronous',
    ],
    [['-k', 'gevent'], 'unknown flag -k, which only Gunicorn has: every worker is asynchronous'],
    [['--threads=4'], 'unknown flag --threads, which only Gunicorn has: every worker is asynchronous'],
    [
      ['-D'],
      'unknown flag -D, which only Gunicorn has: systemd, a container or `setsid` puts a server in the background better, and does not lose its log',
    ],
    [
      ['--preload'],
      'unknown flag --preload, which only Gunicorn has: every worker loads the app by itself, so that a reload always has fresh code; Node cannot fork',
    ],
    // What has another name here.
    [['--log-file', '-'], 'unknown flag --log-file: did you mean --error-logfile?'],
    [['--no-control-socket'], 'unknown flag --no-control-socket: did you mean --control-socket off?'],
    [['--graceful_timeout=4'], 'unknown flag --graceful_timeout: did you mean --graceful-timeout?'],
  ];
  for (const [argv, message] of cases) it(message, () => assert.equal(mistake(argv), message));

  const keys: [key: string, message: string][] = [
    ['worker_class', 'unknown key "worker_class", which only Gunicorn has: every worker is asynchronous'],
    ['threads', 'unknown key "threads", which only Gunicorn has: every worker is asynchronous'],
    ['accesslog', 'unknown key "accesslog": did you mean accessLogfile?'],
    ['loglevel', 'unknown key "loglevel": did you mean logLevel?'],
    ['pidfile', 'unknown key "pidfile": did you mean pid?'],
    ['wsgi_app', 'unknown key "wsgi_app": did you mean app?'],
    ['keepalive', 'unknown key "keepalive": did you mean keepAlive?'],
    ['max_requests_jitter', 'unknown key "max_requests_jitter": did you mean maxRequestsJitter?'],
    ['control_socket_disable', 'unknown key "control_socket_disable": did you mean controlSocket: \'off\'?'],
  ];
  for (const [key, message] of keys)
    it(message, () => assert.equal(mistake([], { [key]: 1 }), `a.json:3: ${message}`));

  it('whatever its name', () => {
    for (const [name, setting] of Object.entries(gunicornSettings)) {
      if (setting.why === undefined) continue;
      for (const flag of setting.flags ?? [`--${name.replaceAll('_', '-')}`])
        assert.ok(mistake([flag]).endsWith(setting.why), flag);
      assert.ok(mistake([], { [name]: 1 }).endsWith(setting.why), name);
    }
  });
});
