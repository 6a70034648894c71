/**
 * The environment of the workers: what env files add to it, and NODE_ENV.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { load } from '../src/config/load.ts';
import { readEnvFiles, workerEnv } from '../src/worker-env.ts';
import { fasticorn } from './support/command.ts';
import { fetchFrom } from './support/http.ts';
import { app, startServer } from './support/server.ts';
import { FILE_DECIDES, Site } from './support/site.ts';

const APP = `
  export default async function (app) {
    const { A, B, C, NODE_ENV, WEB_CONCURRENCY } = process.env;
    app.get('/version', async () => [A, B, C, NODE_ENV, WEB_CONCURRENCY].join());
  }`;

/** NODE_ENV is not what the tests themselves run with. */
const NO_NODE_ENV = { ...FILE_DECIDES, NODE_ENV: undefined as unknown as string };

describe("the workers' environment", () => {
  it("is the arbiter's, which wins over the files, of which the later wins", () => {
    const files = [
      { A: 'first', B: 'first', C: 'first' },
      { B: 'second', C: 'second' },
    ];
    assert.deepEqual(workerEnv({ env: { C: 'own' }, files, watch: false }), {
      ...{ A: 'first', B: 'second', C: 'own', NODE_ENV: 'production' },
    });
  });

  it('has NODE_ENV from whoever sets it, and otherwise for production, or for development', () => {
    const nodeEnv = (env: Record<string, string>, file: Record<string, string>, watch = false) =>
      workerEnv({ env, files: [file], watch }).NODE_ENV;
    assert.equal(nodeEnv({}, {}), 'production');
    assert.equal(nodeEnv({}, {}, true), 'development');
    assert.equal(nodeEnv({}, { NODE_ENV: 'staging' }, true), 'staging');
    assert.equal(nodeEnv({ NODE_ENV: 'test' }, { NODE_ENV: 'staging' }), 'test');
  });
});

describe('--env-file', () => {
  it('is read in the syntax of Node, for the workers alone', async (t) => {
    const site = new Site(t);
    site.write('app.mjs', APP);
    site.write('conf/one.env', '# comment\nA="a b"\nexport B=two # rest\nC=file\nWEB_CONCURRENCY=7\n');
    site.write('two.env', 'NODE_ENV=staging');
    const args = ['--env-file', 'conf/one.env', '--env-file', 'two.env', '-w', '1'];
    const server = await site.start(args, { env: { ...NO_NODE_ENV, C: 'environment' } });
    assert.equal(await site.version(), 'a b,two,environment,staging,');
    assert.equal((await site.status()).wanted, 1);
    assert.equal(await server.stop(), 0);
  });

  it('is read again by each reload, and a missing one changes nothing', async (t) => {
    const site = new Site(t);
    site.write('app.mjs', APP);
    site.write('.env', 'A=one');
    const configure = (envFile: string | string[]) =>
      site.write('fasticorn.config.json', JSON.stringify({ workers: 1, envFile }));
    configure('.env');
    await site.start([], { env: NO_NODE_ENV });
    assert.equal(await site.version(), 'one,,,production,');
    site.write('.env', 'B=two');
    assert.equal((await site.ask('reload')).code, 0);
    assert.equal(await site.version(), ',two,,production,');
    configure(['.env', 'none.env']);
    const { code, stderr } = await site.ask('reload');
    assert.notEqual(code, 0);
    assert.match(
      stderr,
      /fasticorn\.config\.json:1: envFile: "none\.env" is not valid: expected a file, but/,
    );
    assert.equal(await site.version(), ',two,,production,');
  });

  it('is kept by the workers that replace others', async (t) => {
    const site = new Site(t);
    site.write('app.mjs', APP);
    site.write('.env', 'A=one');
    await site.start(['--env-file', '.env', '-w', '1'], { env: NO_NODE_ENV });
    site.write('.env', 'A=two');
    const [pid] = await site.ready();
    process.kill(pid!, 'SIGKILL');
    assert.equal(await site.version(), 'one,,,production,');
  });

  it('has nothing in it that a C library obeys, where workers are somebody else than the arbiter', (t) => {
    const site = new Site(t);
    const read = (text: string, forOthers: boolean) => {
      site.write('.env', text);
      return readEnvFiles(
        load(['--env-file', `${site.directory}/.env`], {}, { cpus: 1, memory: undefined }),
        forOthers,
      );
    };
    for (const line of [
      ...[
        'LD_PRELOAD=./x.so',
        'export LD_AUDIT=x',
        ' LD_LIBRARY_PATH = .',
        'GLIBC_TUNABLES=x',
        'GCONV_PATH=.',
      ],
      ...[
        'MALLOC_TRACE=x',
        'LOCPATH=.',
        'MUSL_LOCPATH=.',
        'LANGUAGE="de\n:../../x"',
        'LC_ALL=../x',
        'LANG=/x',
      ],
    ]) {
      assert.throws(() => read(`A=b\n${line}\n`, true), /expected no [A-Z_]+ in it/, line);
      assert.equal(read(`A=b\n${line}\n`, false)[0]!.A, 'b');
    }
    for (const line of [
      'LANG=de_DE.UTF-8',
      'OLD_PRELOAD=x',
      'URL=LD_PRELOAD=x',
      'TMPDIR=/tmp',
      'ld_preload=x',
    ])
      assert.equal(read(`A=b\n${line}\n`, true)[0]!.A, 'b', line);
  });

  it('that is not there is said before anything starts', async (t) => {
    for (const action of [[], ['--check-config']]) {
      const { code, stdout, stderr } = await fasticorn(
        t,
        [...action, '-b', 'unix:./a.sock', app('plain.mjs')],
        { cwd: '/tmp', env: { FASTICORN_ENV_FILE: 'none.env' } },
      );
      assert.deepEqual([code, stdout], [1, '']);
      assert.equal(
        stderr,
        'fasticorn: FASTICORN_ENV_FILE="none.env" (the variable for --env-file): ' +
          'expected a file, but there is none in /tmp\n',
      );
    }
  });

  it('as a flag has to be there for Node itself, which looks at all arguments of a script', async (t) => {
    const { code, stderr } = await fasticorn(t, ['--env-file', 'none.env', app('plain.mjs')], {
      cwd: '/tmp',
    });
    assert.equal(code, 9);
    assert.match(stderr, /^\S*node: none\.env: not found\n$/);
  });

  it('as a flag is read again by a reload too, as Node only looks whether it is there', async (t) => {
    const site = new Site(t);
    site.write('app.mjs', APP);
    site.write('.env', 'A=one');
    await site.start(['--env-file=.env', '-w', '1'], { env: NO_NODE_ENV });
    assert.equal(await site.version(), 'one,,,production,');
    site.write('.env', 'A=two');
    assert.equal((await site.ask('reload')).code, 0);
    assert.equal(await site.version(), 'two,,,production,');
  });
});

it('NODE_ENV is production for an app of which nobody has said anything else', async (t) => {
  const site = new Site(t);
  site.write('app.mjs', APP);
  const server = await startServer(t, './app.mjs', [], { cwd: site.directory, env: NO_NODE_ENV });
  const { body } = await fetchFrom({ socketPath: server.socket }, '/version');
  assert.equal(body, ',,,production,');
});
