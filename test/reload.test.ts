/**
 * A reload: a new generation of workers with fresh code replaces the old one once it serves, and if it cannot,
 * nothing has changed but that the reason is known.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Outcome } from './support/command.ts';
import { settled } from './support/control.ts';
import { fetchFrom } from './support/http.ts';
import { load } from './support/load.ts';
import { RawConnection } from './support/raw.ts';
import { installFasticorn } from './support/release.ts';
import { isRunning, namesOf, Server, temporaryDirectory, until } from './support/server.ts';
import { FILE_DECIDES, Site, versionApp } from './support/site.ts';

/** A site whose first version serves. */
async function begin(t: TestContext, args: string[] = []): Promise<{ site: Site; server: Server }> {
  const site = new Site(t);
  site.deploy('one');
  return { site, server: await site.start(args) };
}

/** Writes wait.mjs, by which workers wait while they boot. `imported` says how many do so, `go` lets them go on. */
function gate(t: TestContext, site: Site) {
  const directory = temporaryDirectory(t);
  site.write(
    'wait.mjs',
    `import { existsSync, writeFileSync } from 'node:fs';
    export async function wait() {
      writeFileSync(${JSON.stringify(directory)} + '/' + process.pid, '');
      while (!existsSync(${JSON.stringify(join(directory, 'go'))})) await new Promise((done) => setTimeout(done, 20));
    }`,
  );
  return {
    imported: () => readdirSync(directory).length,
    go: () => mkdirSync(join(directory, 'go')),
  };
}

/** Whether the log says this, after its first lines. */
const logged = (server: Server, text: RegExp, after = 0) =>
  server
    .log()
    .slice(after)
    .some(({ msg }) => text.test(msg));
const succeeded = ({ code, stderr }: Outcome) => assert.equal(code, 0, stderr);

describe('a reload', () => {
  it('by HUP brings the new code, with the same arbiter and socket, and the old workers end', async (t) => {
    const { site, server } = await begin(t);
    const old = server.workers();
    const { ino } = lstatSync(site.socket);
    site.deploy('two');
    server.kill('SIGHUP');
    await site.serves('two');
    await until(() => !old.some(isRunning), 'the old workers to end');
    assert.equal(server.workers().length, 2);
    assert.equal(lstatSync(site.socket).ino, ino);
    assert.equal(await server.stop(), 0);
  });

  it('by command is over when every new worker is ready', async (t) => {
    const { site } = await begin(t);
    site.deploy('two', 'await new Promise((done) => setTimeout(done, 700));');
    succeeded(await site.ask('reload'));
    const { generation } = await site.status();
    assert.deepEqual(generation, { current: 2, next: null });
    assert.equal((await site.ready()).length, 2);
  });

  it('by command with --no-wait has only begun', async (t) => {
    const { site } = await begin(t);
    site.deploy(
      'two',
      'while (!process.env.NEVER) await new Promise((done) => setTimeout(done, 1500, process.env.NEVER = "1"));',
    );
    const { code, stdout } = await site.ask('reload', '--no-wait');
    assert.equal(code, 0);
    assert.match(stdout, /begun/);
    await site.serves('two');
  });

  it('by command with --pid sends the signal', async (t) => {
    const pid = join(temporaryDirectory(t), 'pid');
    const { site, server } = await begin(t, ['--pid', pid]);
    site.deploy('two');
    const { code, stdout } = await site.askByPid(pid, 'reload');
    assert.deepEqual(
      [code, stdout],
      [
        0,
        `SIGHUP was sent to pid ${server.pid}; what becomes of it is in its log: --bind or --control-socket would wait\n`,
      ],
    );
    await site.serves('two');
  });

  it('ends a pause', async (t) => {
    const { site, server } = await begin(t);
    succeeded(await site.ask('pause'));
    await until(() => server.workers().length === 0, 'no workers');
    succeeded(await site.ask('reload'));
    assert.equal((await site.status()).arbiter.phase, 'serving');
    assert.equal(await site.version(), 'one');
  });

  it('leaves idle connections to the proxy: each is answered once more, and then closed', async (t) => {
    const { site } = await begin(t);
    const idle = await Promise.all(Array.from({ length: 8 }, () => RawConnection.open(site.socket)));
    for (const one of idle) one.get('/version');
    await until(() => idle.every(({ answers }) => answers === 1), 'the first answers');
    site.deploy('two');
    succeeded(await site.ask('reload'));
    await until(
      async () => (await site.status()).workers.some(({ phase }) => phase === 'retiring'),
      'retiring',
    );
    assert.ok(idle.every(({ ended }) => !ended));
    for (const one of idle) one.post('/hash', 'late');
    await until(() => idle.every(({ answers }) => answers === 2), 'the last answers');
    await until(() => idle.every(({ ended }) => ended), 'the connections to be ended');
    for (const { received, error } of idle) {
      const last = received.slice(received.lastIndexOf('HTTP/1.1'));
      assert.match(last, /\r\nconnection: close\r\n/i);
      assert.equal(error, undefined);
    }
  });
});

describe('fresh code', () => {
  it('includes the modules that the app imports', async (t) => {
    const site = new Site(t);
    site.write('lib/part.mjs', "export const part = 'one';");
    site.write(
      'app.mjs',
      "import { part } from './lib/part.mjs'; export default async (app) => { app.get('/version', async () => part); };",
    );
    await site.start();
    assert.equal(await site.version(), 'one');
    site.write('lib/part.mjs', "export const part = 'two';");
    succeeded(await site.ask('reload'));
    await site.serves('two');
  });

  it('includes the modules that the config file imports', async (t) => {
    const site = new Site(t);
    site.deploy('one');
    site.write('count.mjs', 'export const workers = 1;');
    site.write('fasticorn.config.mjs', "import { workers } from './count.mjs'; export default { workers };");
    await site.start([], { env: FILE_DECIDES });
    assert.equal((await site.ready()).length, 1);
    site.write('count.mjs', 'export const workers = 3;');
    succeeded(await site.ask('reload'));
    assert.equal((await site.ready()).length, 3);
  });

  /** Two releases, and `current` that leads to the first. */
  function releases(t: TestContext) {
    const root = temporaryDirectory(t);
    const site = new Site(t, root);
    for (const version of ['one', 'two']) site.write(`releases/${version}/app.mjs`, versionApp(version));
    const current = join(root, 'current');
    symlinkSync('releases/one', current);
    const flip = () => {
      symlinkSync('releases/two', `${current}~`);
      renameSync(`${current}~`, current);
      rmSync(join(root, 'releases/one'), { recursive: true });
    };
    return { site, current, flip };
  }

  it('comes from where the symbolic link of --chdir leads now', async (t) => {
    const { site, current, flip } = releases(t);
    await site.start(['--chdir', current]);
    assert.equal(await site.version(), 'one');
    flip();
    succeeded(await site.ask('reload'));
    await site.serves('two');
  });

  it('comes from where the symbolic link leads now in which the server was started', async (t) => {
    const { site, current, flip } = releases(t);
    site.write('releases/one/fasticorn.config.json', '{ "workers": 1 }');
    site.write('releases/two/fasticorn.config.json', '{ "workers": 3 }');
    await site.start([], { cwd: current, env: { PWD: current, ...FILE_DECIDES } });
    assert.deepEqual([await site.version(), (await site.ready()).length], ['one', 1]);
    flip();
    succeeded(await site.ask('reload'));
    assert.equal((await site.ready()).length, 3);
    await site.serves('two');
  });
});

/** What may be wrong with a new generation: what is written, and what is said of it. */
const failures: Record<
  string,
  { write: (site: Site) => void; says: RegExp; stack?: RegExp; mayLose?: boolean }
> = {
  'a syntax error in fasticorn.config.mjs': {
    write: (site) => site.write('fasticorn.config.mjs', 'export default {\n  workers: 2,\n  }}'),
    says: /fasticorn\.config\.mjs:3: SyntaxError/,
  },
  'a syntax error in fasticorn.config.json': {
    write: (site) => site.write('fasticorn.config.json', '{\n  "workers": 2,\n}'),
    says: /fasticorn\.config\.json:3:1: not valid JSON/,
  },
  'an unknown key in the config file': {
    write: (site) => site.write('fasticorn.config.json', '{\n  "wokers": 2\n}'),
    says: /fasticorn\.config\.json:2: unknown key "wokers": did you mean workers\?/,
  },
  'a config file that ends its process': {
    write: (site) => site.write('fasticorn.config.mjs', 'process.exit(3)'),
    says: /fasticorn\.config\.mjs: its process ended \(exit code 3\)/,
  },
  'a config file that throws': {
    write: (site) => site.write('fasticorn.config.mjs', '\n\nthrow new Error("no such secret")'),
    says: /fasticorn\.config\.mjs:3: no such secret/,
  },
  'an app that throws while it is imported': {
    write: (site) => site.write('app.mjs', '\nthrow new Error("import goes wrong")'),
    says: /import goes wrong/,
    stack: /app\.mjs:2/,
  },
  'an app that throws while it boots': {
    write: (site) => site.deploy('bad', '\n    throw new Error("boot goes wrong");'),
    says: /boot goes wrong/,
    stack: /at .*app\.mjs:5/,
  },
  'an app that throws in a timer while it boots': {
    write: (site) =>
      site.deploy(
        'bad',
        'setTimeout(() => { throw new Error("timer goes wrong"); }); await new Promise(() => {});',
      ),
    says: /timer goes wrong/,
    stack: /at .*app\.mjs:4/,
  },
  'an app with a syntax error': {
    write: (site) => site.write('app.mjs', 'export default async function () {\n  retrun 1;\n}'),
    says: /app\.mjs/,
    stack: /app\.mjs:2/,
  },
  'an app whose file is gone': {
    write: (site) => rmSync(join(site.directory, 'app.mjs')),
    says: /app\.mjs: there is no such file/,
  },
  'an app that ends its process while it boots': {
    write: (site) => site.deploy('bad', 'process.exit(5);'),
    says: /exit code 5|with code 5|code 5/,
  },
  'an app that is killed each time it boots': {
    write: (site) => site.deploy('bad', 'process.kill(process.pid, "SIGKILL"); await new Promise(() => {});'),
    says: /SIGKILL/,
  },
  'an app that never becomes ready': {
    write: (site) => {
      site.write('fasticorn.config.json', '{ "bootTimeout": 1 }');
      site.deploy('bad', 'await new Promise(() => setInterval(() => {}, 1000));');
    },
    says: /boot-timeout/,
  },
  'an app that blocks while it boots': {
    write: (site) => {
      site.write('fasticorn.config.json', '{ "bootTimeout": 1 }');
      site.deploy('bad', 'for (;;);');
    },
    says: /boot-timeout/,
  },
  'an app that throws right after it is ready': {
    write: (site) =>
      site.deploy(
        'bad',
        "app.addHook('onListen', async () => { setTimeout(() => { throw new Error('born to die'); }, 50); });",
      ),
    says: /a worker met an error that the app did not catch/,
    stack: /born to die/,
  },
  'an app that ends its process right after it is ready': {
    write: (site) =>
      site.deploy('bad', "app.addHook('onListen', async () => { setTimeout(() => process.exit(6), 50); });"),
    says: /code 6/,
    // What it had accepted until then.
    mayLose: true,
  },
};

describe('a reload that cannot succeed', () => {
  it('says why and changes nothing, and the next one can', async (t) => {
    const { site, server } = await begin(t, ['--access-logfile', 'off']);
    for (const [what, { write, says, stack, mayLose }] of Object.entries(failures)) {
      await t.test(what, async () => {
        const before = { version: await site.version(), workers: (await site.ready()).sort() };
        const enough = new AbortController();
        const to = { socketPath: site.socket };
        const running = load({ to, connections: 2, delay: 20, signal: enough.signal });
        write(site);
        const said = server.log().length;
        const { code, stderr } = await site.ask('reload');
        enough.abort();
        const { good, bad } = await running;
        assert.ok(good > 0);
        if (!mayLose) assert.deepEqual(bad, []);
        assert.notEqual(code, 0);
        assert.match(stderr, /^fasticorn: reload failed: /);
        assert.match(stderr.split('\n')[0]!, says);
        if (stack) assert.match(stderr, stack);
        assert.ok(logged(server, says, said), `the log says ${says}`);

        await until(async () => (await site.status()).workers.length === 2, 'the failed generation to go');
        assert.deepEqual((await site.ready()).sort(), before.workers);
        assert.equal(await site.version(), before.version);

        for (const type of ['mjs', 'json'])
          rmSync(join(site.directory, `fasticorn.config.${type}`), { force: true });
        site.deploy(`after ${what}`);
        succeeded(await site.ask('reload'));
        await site.serves(`after ${what}`);
      });
    }
    assert.equal(await server.stop(), 0);
  });

  it('by HUP says so in the log', async (t) => {
    const { site, server } = await begin(t);
    site.write('fasticorn.config.json', '{ "backlog": "long" }');
    server.kill('SIGHUP');
    await until(() => logged(server, /^reload failed.*fasticorn\.config\.json:1: /), 'the reason in the log');
    assert.equal(await site.version(), 'one');
    assert.equal(await server.stop(), 0);
    assert.deepEqual(namesOf(site.socket).sort(), ['app.mjs', 'fasticorn.config.json']);
  });
});

describe('a reload during a reload', () => {
  it('is merged: many at once are one more, and every waiter is told the right thing', async (t) => {
    const { site, server } = await begin(t);
    site.deploy('two', 'await new Promise((done) => setTimeout(done, 1500));');
    const first = site.ask('reload');
    await until(async () => (await site.status()).generation.next === 2, 'the reload to begin');
    site.deploy('three');
    const others = [1, 2, 3, 4].map(() => site.ask('reload'));
    for (let i = 0; i < 20; i++) server.kill('SIGHUP');
    const generations = new Set<number>();
    let over = false;
    const watching = until(async () => {
      const { workers } = await site.status();
      const serving = workers.filter(({ phase }) => phase !== 'retiring');
      assert.ok(new Set(serving.map(({ generation }) => generation)).size <= 2);
      for (const { generation } of workers) generations.add(generation);
      return over;
    }, 'the end');
    const outcomes = await Promise.all([first, ...others]);
    over = true;
    await watching;
    for (const outcome of outcomes) succeeded(outcome);
    assert.match(outcomes[0]!.stdout, /generation 2 serves/);
    for (const { stdout } of outcomes.slice(1)) assert.match(stdout, /generation 3 serves/);
    await site.serves('three');
    assert.equal(Math.max(...generations), 3);
  });

  it('tells those who asked for the first that it failed, and the others that theirs did not', async (t) => {
    const { site } = await begin(t);
    const { go, imported } = gate(t, site);
    site.deploy('bad', "await (await import('./wait.mjs')).wait(); throw new Error('too bad');");
    const first = site.ask('reload');
    await until(() => imported() === 2, 'the new workers to have the bad code');
    site.deploy('two');
    go();
    const second = site.ask('reload');
    const [failed, fine] = await Promise.all([first, second]);
    assert.notEqual(failed.code, 0);
    assert.match(failed.stderr, /too bad/);
    succeeded(fine);
    await site.serves('two');
  });
});

describe('during a reload', () => {
  /** A reload whose workers boot until they are told to go on. */
  async function pending(t: TestContext) {
    const { site, server } = await begin(t);
    const { go } = gate(t, site);
    site.deploy('two', "await (await import('./wait.mjs')).wait();");
    const outcome = site.ask('reload');
    await until(async () => (await site.status()).workers.length === 4, 'a second generation');
    return { site, server, outcome, go };
  }

  it('a stop stops both generations, and whoever waits is told', async (t) => {
    const { site, server, outcome } = await pending(t);
    const all = server.workers();
    assert.equal(await server.stop(), 0);
    const { code, stderr } = await outcome;
    assert.notEqual(code, 0);
    assert.match(stderr, /stopping/);
    assert.deepEqual(all.filter(isRunning), []);
    assert.ok(!existsSync(site.socket));
    assert.ok(!server.log().some(({ level }) => level >= 50));
  });

  it('a stop ends the wait for a config file too, and for the reload after this one', async (t) => {
    const { site, server } = await begin(t);
    site.write(
      'fasticorn.config.mjs',
      'await new Promise((done) => setTimeout(done, 8000)); export default {};',
    );
    const order = (path: string) => fetchFrom({ socketPath: site.control }, path, { method: 'POST' });
    const waiting = [order('/reload')];
    await until(() => logged(server, /reloading/), 'the reload');
    waiting.push(order('/reload'));
    assert.equal((await order('/stop')).status, 200);
    for (const one of waiting)
      assert.deepEqual((await one).json(), { ok: false, message: 'the server is stopping' });
    assert.deepEqual(await server.exited, { code: 0, signal: null });
    assert.deepEqual(namesOf(site.socket).sort(), ['app.mjs', 'fasticorn.config.mjs']);
  });

  it('a worker of the old generation that is killed is replaced, and the reload goes on', async (t) => {
    const { site, server, outcome, go } = await pending(t);
    const [victim] = await site.ready();
    process.kill(victim!, 'SIGKILL');
    await until(async () => {
      const old = (await site.status()).workers.filter(({ generation }) => generation === 1);
      return old.length === 2 && old.every(({ pid }) => pid !== victim);
    }, 'the replacement to be started');
    go();
    succeeded(await outcome);
    await site.serves('two');
    assert.equal(server.workers().length, 2);
  });

  it('a worker of the new generation that is killed is replaced as well, and the reload goes on', async (t) => {
    const { site, outcome, go } = await pending(t);
    const { workers } = await site.status();
    process.kill(workers.find(({ generation }) => generation === 2)!.pid!, 'SIGKILL');
    go();
    succeeded(await outcome);
    await site.serves('two');
    assert.equal((await site.ready()).length, 2);
  });

  it('a pause wins, and the reload fails', async (t) => {
    const { site, server, outcome } = await pending(t);
    succeeded(await site.ask('pause'));
    assert.match((await outcome).stderr, /paused/);
    await until(() => server.workers().length === 0, 'no workers');
    site.deploy('three');
    succeeded(await site.ask('reload'));
    await site.serves('three');
  });
});

describe('a server whose own files were removed, with the release that they came with', () => {
  it('says so at a reload, and serves on', async (t) => {
    const site = new Site(t);
    site.deploy('one');
    const release = join(site.directory, 'release');
    installFasticorn(release, '1.0.1');
    const args = [join(release, 'dist/cli.js'), '-b', `unix:${site.socket}`, '-w', '1', './app.mjs'];
    const child = spawn(process.execPath, args, { cwd: site.directory, stdio: ['ignore', 'pipe', 'pipe'] });
    t.after(() => child.kill('SIGKILL'));
    const server = new Server(child, site.socket);
    await until(() => existsSync(site.control), 'the server');
    await settled(site, 1);
    rmSync(release, { recursive: true });
    const { code, stderr } = await site.ask('reload');
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^fasticorn: reload failed: fasticorn itself is gone from \S+\/release\/dist\/, .*\n$/,
    );
    assert.equal(await site.version(), 'one');
    assert.equal(await server.stop(), 0);
  });
});
