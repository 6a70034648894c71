/**
 * The error log, which is also the log of the app: what gets into it, and how it looks. That an app may bring its
 * own logger is in requests.test.ts.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fetchFrom } from './support/http.ts';
import { need } from './support/need.ts';
import { app, CLI, type Server, startServer, temporaryDirectory, until } from './support/server.ts';

const file = app('logs.mjs');
const headers = { 'X-Request-ID': 'the-id' };

const get = (server: Server, path: string) => fetchFrom({ socketPath: server.socket }, path, { headers });
const messages = (server: Server) => server.log().map(({ msg }) => msg);

describe('The error log', () => {
  it('has what the app logs, with worker and pid, and in a request with its id', async (t) => {
    const server = await startServer(t, file, ['-w', '1']);
    await get(server, '/');
    await until(() => messages(server).includes('not good'), 'the line');
    const pid = server.workers()[0];
    const find = (msg: string) => server.log().find((line) => line.msg === msg);
    const { time: _, ...loading } = find('said while it was loading')!;
    assert.deepEqual(loading, { level: 40, pid, worker: 1, cpu: 'x86', msg: 'said while it was loading' });
    const { time: __, ...inRequest } = find('said in a request')!;
    const expected = { level: 30, pid, worker: 1, reqId: 'the-id', user: 'ada', msg: 'said in a request' };
    assert.deepEqual(inRequest, expected);
  });

  it("has no line of Fastify's own for a request, since the access log has one", async (t) => {
    const server = await startServer(t, file, ['--log-level', 'trace']);
    for (const path of ['/', '/not-there', '/boom']) await get(server, path);
    await server.stop();
    assert.equal(server.accessLog().length, 3);
    assert.deepEqual(
      messages(server).filter((text) => /incoming|completed|not found|listening/i.test(text)),
      [],
    );
  });

  it('has the error of a handler, with its stack and its request', async (t) => {
    const server = await startServer(t, file);
    await get(server, '/boom');
    await until(() => messages(server).some((text) => text.startsWith('too far')), 'the error');
    const line = server.log().find(({ msg }) => msg.startsWith('too far')) as unknown as {
      reqId: string;
      err: { type: string; stack: string };
      req: { url: string };
    };
    assert.equal(line.reqId, 'the-id');
    assert.equal(line.req.url, '/boom');
    assert.equal(line.err.type, 'RangeError');
    assert.match(line.err.stack, /^RangeError: too far.*\n {4}at .*logs\.mjs:\d+/);
  });

  it('has the error of a response that could not be sent', async (t) => {
    const server = await startServer(t, file);
    await get(server, '/torn');
    await until(() => messages(server).includes('request errored'), 'the error');
    const line = server.log().find(({ msg }) => msg === 'request errored') as unknown as {
      reqId: string;
      err: { message: string };
    };
    assert.equal(line.reqId, 'the-id');
    assert.equal(line.err.message, 'torn');
  });

  it("has such an error as the app's own options of Fastify's log want it", async (t) => {
    const server = await startServer(t, app('logs-labelled.mjs'));
    await get(server, '/torn');
    await until(() => messages(server).includes('request errored'), 'the error');
    const line = server.log().find(({ msg }) => msg === 'request errored') as unknown as { rid: string };
    assert.equal(line.rid, 'the-id');
  });

  for (const [level, expected] of [
    ['debug', ['a detail', 'said in a request', 'not good']],
    ['info', ['said in a request', 'not good']],
    ['error', ['not good']],
    ['silent', []],
  ] as const) {
    it(`has of the app what --log-level ${level} lets through`, async (t) => {
      const server = await startServer(t, file, ['--log-level', level]);
      await get(server, '/');
      await server.stop();
      const ofTheRequest = server.log().filter(({ reqId }) => reqId === 'the-id');
      assert.deepEqual(
        ofTheRequest.map(({ msg }) => msg),
        expected,
      );
      if (level === 'silent') assert.equal(server.stderr, '');
    });
  }

  it('goes to a file with --error-logfile, that of the arbiter and of the app alike', async (t) => {
    const path = join(temporaryDirectory(t), 'error.log');
    const server = await startServer(t, file, ['--error-logfile', path]);
    await get(server, '/');
    await server.stop();
    const text = readFileSync(path, 'utf8');
    for (const part of ['"msg":"fasticorn ', 'said in a request', 'SIGTERM'])
      assert.ok(text.includes(part), part);
    assert.equal(server.stderr, '');
  });
});

describe('With --pretty', () => {
  it('each line of the error log starts with time and level, and says the worker', async (t) => {
    const server = await startServer(t, file, ['-w', '1', '--pretty']);
    await get(server, '/');
    await server.stop();
    const clock = '\\[\\d\\d:\\d\\d:\\d\\d\\.\\d{3}\\]';
    assert.match(server.stderr, new RegExp(`^${clock} INFO: fasticorn \\d`, 'm'));
    assert.match(
      server.stderr,
      new RegExp(`^${clock} INFO: worker 1: said in a request {"reqId":"the-id","user":"ada"}$`, 'm'),
    );
    assert.match(
      server.stdout,
      new RegExp(`^${clock} 127\\.0\\.0\\.1 "GET /" 200, \\d+ bytes in \\d+\\.\\d ms\\n$`),
    );
  });

  it('the error of a handler shows its stack as Node prints it, and its request in short', async (t) => {
    const server = await startServer(t, file, ['--pretty']);
    await get(server, '/boom');
    await server.stop();
    assert.match(
      server.stderr,
      /ERROR: worker \d: too far\[2J {"reqId":"the-id","req":"GET \/boom"}\n {4}err: RangeError: too far\[2J\n {8}at .*logs\.mjs:\d+/,
    );
    assert.doesNotMatch(server.stderr, /\x1b/, 'nothing of the app speaks to the terminal');
  });

  it('whatever an app logs as err, req and res, no request fails for it', async (t) => {
    const server = await startServer(t, file, ['--pretty']);
    assert.equal((await get(server, '/odd')).body, 'odd');
    await until(() => server.stderr.split('odd fields').length === 3, 'both lines');
    assert.match(server.stderr, /just text/);
  });
});

describe('On a terminal', () => {
  it('a log that goes to a file is JSON all the same', need('script'), async (t) => {
    const directory = temporaryDirectory(t);
    const file = join(directory, 'error.log');
    const flags = `-w 1 -b unix:${join(directory, 'app.sock')} --error-logfile ${file}`;
    const command = `${process.execPath} ${CLI} ${flags} ${app('plain.mjs')}:nothing`;
    const run = spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8', timeout: 30_000 });
    for (const line of readFileSync(file, 'utf8').trimEnd().split('\n')) {
      assert.equal(typeof JSON.parse(line).msg, 'string');
    }
    assert.match(run.stdout, /fasticorn: could not start: see .*error\.log/);
  });

  it('colours are left to NO_COLOR', need('script'), (t) => {
    const command = `${process.execPath} ${CLI} -w 1 -b unix:${join(temporaryDirectory(t), 'app.sock')} ${app('plain.mjs')}:nothing`;
    const shown = (more: Record<string, string>) => {
      // Of a terminal in CI Node believes that it has none.
      const env = { ...process.env, TERM: 'xterm', CI: undefined, ...more };
      return spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8', timeout: 30_000, env })
        .stdout;
    };
    assert.match(shown({}), /\x1b\[3\dm/);
    assert.doesNotMatch(shown({ NO_COLOR: '1' }), /\x1b/);
  });

  it('logs are for people by default, and elsewhere they are JSON', need('script'), async (t) => {
    const socket = join(temporaryDirectory(t), 'app.sock');
    // A start that fails at once, as its workers cannot load the app; `script` gives it a terminal.
    const command = `${process.execPath} ${CLI} -w 1 -b unix:${socket} ${app('plain.mjs')}:nothing`;
    const run = spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8', timeout: 30_000 });
    assert.match(run.stdout, /^\[\d\d:\d\d:\d\d\.\d{3}\] \S*INFO\S*: \S*fasticorn /);
    const piped = spawnSync(command, { shell: true, encoding: 'utf8', timeout: 30_000 });
    for (const line of piped.stderr.trimEnd().split('\n'))
      assert.equal(typeof JSON.parse(line).msg, 'string');
  });
});
