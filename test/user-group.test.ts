/**
 * `--user` and `--group`: the arbiter stays root, and nothing of the app, nor what is loaded before it, ever is.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { findGroup, findUser } from '../src/arbiter/accounts.ts';
import { commandAs } from '../src/arbiter/credentials.ts';
import { openLog } from '../src/line-writer.ts';
import { fasticorn } from './support/command.ts';
import { fetchFrom } from './support/http.ts';
import { readJsonLines } from './support/json-lines.ts';
import { Lineage } from './support/lineage.ts';
import { load } from './support/load.ts';
import { hindrance, NOBODY } from './support/other-user.ts';
import { app, isRunning, type Server, startServer, until } from './support/server.ts';
import { Site } from './support/site.ts';

/** Who a process is, as the kernel has it: real, effective, saved and file system ids all alike, and the groups. */
function identity(pid: number): { uid: number; gid: number; groups: number[] } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const ids = (field: string) =>
    (new RegExp(`^${field}:[ \\t]*(.*)$`, 'm').exec(status)?.[1] ?? '')
      .trim()
      .split(/\s+/)
      .filter(Boolean)
      .map(Number);
  const one = (field: string) => {
    const found = new Set(ids(field));
    assert.equal(found.size, 1, field);
    return [...found][0]!;
  };
  return { uid: one('Uid'), gid: one('Gid'), groups: ids('Groups').sort((a, b) => a - b) };
}

/** Accounts of this machine that are members of groups besides their primary one. */
function memberOfMore(): { name: string; uid: number; gid: number; more: number[] } | undefined {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name = '', , uid] = line.split(':');
    const found = name && Number(uid) > 0 ? findUser(name) : undefined;
    if (found?.account && found.account.groups.length > 0)
      return { name, uid: found.uid, gid: found.account.gid, more: found.account.groups };
  }
  return undefined;
}

const APP = `
  import { readFileSync } from 'node:fs';
  import { setTimeout as sleep } from 'node:timers/promises';
  import echo from ${JSON.stringify(app('echo.mjs'))};
  const atLoad = process.getuid();
  export default async (app) => {
    await echo(app);
    app.get('/who', async () => ({ atLoad, home: process.env.HOME, user: process.env.USER }));
    app.get('/spin', () => { for (;;); });
  };`;

/** Starts the app with its logs in a directory that only root may write to. */
async function start(
  t: TestContext,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ site: Site; server: Server; log(name: string): string }> {
  const site = new Site(t);
  site.write('app.mjs', APP);
  mkdirSync(join(site.directory, 'logs'));
  chmodSync(join(site.directory, 'logs'), 0o755);
  const logs = ['--access-logfile', 'logs/access.log', '--error-logfile', 'logs/error.log'];
  const server = await site.start([...logs, ...args], { env });
  return { site, server, log: (name) => join(site.directory, 'logs', name) };
}

const ask = (site: Site, path: string) => fetchFrom({ socketPath: site.socket }, path);

describe('as root', () => {
  let obstacle: Promise<string | false> | undefined;
  const asRoot = (title: string, test: (t: TestContext) => Promise<void>) =>
    it(title, async (t) => {
      obstacle ??= hindrance(t);
      const reason = await obstacle;
      return reason ? t.skip(reason) : test(t);
    });

  asRoot('--user alone implies its primary group, and the arbiter stays root', async (t) => {
    const { site, server } = await start(t, ['--user', 'nobody', '--pid', 'pid']);
    const { gid } = findUser('nobody')!.account!;
    // Whether that is one of its supplementary groups as well, the system decides.
    const withoutGroups = { uid: NOBODY, gid, groups: identity(server.workers()[0]!).groups };
    assert(withoutGroups.groups.every((one) => one === gid));
    for (const pid of server.workers()) assert.deepEqual(identity(pid), withoutGroups);
    assert.equal(identity(server.pid).uid, 0);
    const owner = (name: string) => {
      const { uid, gid } = lstatSync(join(site.directory, name));
      return [uid, gid];
    };
    assert.deepEqual(owner('app.sock'), [NOBODY, gid]);
    assert.deepEqual(owner('logs/access.log'), [NOBODY, gid]);
    assert.deepEqual(owner('logs/error.log'), [NOBODY, gid]);
    assert.deepEqual(owner('app.sock.ctl'), [0, 0]);
    assert.deepEqual(owner('pid'), [0, 0]);
    assert.equal(await server.stop(), 0);
    assert(!existsSync(site.socket));
  });

  asRoot('workers are in all groups of their user', async (t) => {
    const member = memberOfMore();
    if (!member) return t.skip('needs an account that is a member of a second group');
    const { name, uid, gid, more } = member;
    const { server } = await start(t, ['-u', name]);
    const groups = [gid, ...more].sort((a, b) => a - b);
    for (const pid of server.workers()) assert.deepEqual(identity(pid), { uid, gid, groups });
  });

  asRoot('--group takes the place of the primary group', async (t) => {
    const { site, server } = await start(t, ['-u', `${NOBODY}`, '-g', '12345', '--socket-group', '12346']);
    for (const pid of server.workers())
      assert.deepEqual([identity(pid).uid, identity(pid).gid], [NOBODY, 12345]);
    const { uid, gid } = lstatSync(site.socket);
    assert.deepEqual([uid, gid], [NOBODY, 12346], '--socket-group wins for the socket');
  });

  asRoot('--group alone leaves the user', async (t) => {
    const { server } = await start(t, ['--group', '12345']);
    for (const pid of server.workers()) assert.deepEqual(identity(pid), { uid: 0, gid: 12345, groups: [] });
  });

  asRoot('not even what is loaded before the app runs as root', async (t) => {
    const member = memberOfMore();
    for (const user of ['nobody', ...(member ? [member.name] : [])]) {
      const site = new Site(t);
      site.write('app.mjs', APP);
      site.write(
        'preload.mjs',
        `import { appendFileSync } from 'node:fs';
         appendFileSync(${JSON.stringify(join(site.directory, 'preloaded'))},
           JSON.stringify({ pid: process.pid, uid: process.getuid() }) + '\\n');`,
      );
      site.write('preloaded', '');
      chmodSync(join(site.directory, 'preloaded'), 0o666);
      const preload = `--import file://${join(site.directory, 'preload.mjs')}`;
      const server = await site.start(['-u', user, '--import', './preload.mjs'], {
        env: { NODE_OPTIONS: preload },
      });
      const workers = server.workers();
      const seen = readJsonLines<{ pid: number; uid: number }>(join(site.directory, 'preloaded')).filter(
        ({ pid }) => workers.includes(pid),
      );
      const { uid } = findUser(user)!;
      assert.deepEqual(
        seen.map((one) => one.uid),
        [uid, uid],
      );
      assert.equal((await ask(site, '/who')).json().atLoad, uid);
      assert.equal(await server.stop(), 0);
    }
  });

  asRoot('an env file cannot have the dynamic loader do anything as root', async (t) => {
    for (const user of ['nobody', memberOfMore()?.name ?? 'nobody']) {
      const site = new Site(t);
      site.write('app.mjs', APP);
      // It writes a file for each process that it starts.
      site.write('.env', `LD_DEBUG=statistics\nLD_DEBUG_OUTPUT=${join(site.directory, 'loaded')}\n`);
      const args = ['-u', user, '-b', `unix:${site.socket}`, '--env-file', '.env', './app.mjs'];
      const { code, stderr } = await fasticorn(t, ['--check-config', ...args], { cwd: site.directory });
      assert.equal(code, 1);
      assert.match(stderr, /^fasticorn: --env-file: "\.env" is not valid: expected no LD_DEBUG in it.*\n$/);
      assert.deepEqual(
        readdirSync(site.directory).filter((name) => name.startsWith('loaded')),
        [],
      );
    }
  });

  asRoot('what workers are started with is tried out as their user, too', async (t) => {
    for (const user of ['nobody', memberOfMore()?.name ?? 'nobody']) {
      const site = new Site(t);
      site.write('app.mjs', APP);
      site.write('preload.mjs', '');
      const coverage = join(site.directory, 'coverage');
      mkdirSync(coverage);
      chmodSync(coverage, 0o777);
      // Has Node write a file as it ends.
      site.write('.env', `NODE_V8_COVERAGE=${coverage}\n`);
      const env = ['--env-file', '.env', '--import', './preload.mjs'];
      const { code, stderr } = await fasticorn(t, ['--check-config', '-u', user, ...env, './app.mjs'], {
        cwd: site.directory,
      });
      assert.deepEqual([code, stderr], [0, '']);
      const owners = new Set(readdirSync(coverage).map((name) => statSync(join(coverage, name)).uid));
      assert.deepEqual([...owners], [findUser(user)!.uid]);
    }
  });

  asRoot('the environment stays as it is, as in Gunicorn', async (t) => {
    const { site } = await start(t, ['-u', 'nobody'], { HOME: '/root', USER: 'root' });
    assert.deepEqual((await ask(site, '/who')).json(), { atLoad: NOBODY, home: '/root', user: 'root' });
  });

  asRoot(
    'logs that were moved away go on in new files, also of a worker that starts meanwhile',
    async (t) => {
      const { site, server, log } = await start(t, ['-u', 'nobody']);
      const rotate = (suffix: string) => {
        for (const name of ['access.log', 'error.log']) renameSync(log(name), `${log(name)}.${suffix}`);
      };
      rotate('1');
      const [victim] = server.workers() as [number];
      process.kill(victim, 'SIGKILL');
      await until(async () => {
        const pids = await site.ready();
        return pids.length === 2 && !pids.includes(victim);
      }, 'the next worker');
      rotate('2');
      assert.equal((await site.ask('reopen')).code, 0);
      for (const name of ['access.log', 'error.log']) assert.equal(statSync(log(name)).uid, NOBODY);
      await until(async () => {
        await ask(site, '/after');
        return readFileSync(log('access.log'), 'utf8').includes('"/after"');
      }, 'a line in the new file');
      assert.doesNotMatch(readFileSync(log('error.log'), 'utf8'), /cannot open it/);
    },
  );

  asRoot('new log files that the workers may not write are a failed reopen', async (t) => {
    const { site, server, log } = await start(t, ['-u', 'nobody']);
    renameSync(log('access.log'), log('access.log.1'));
    site.write('logs/access.log', '');
    const { code, stderr } = await site.ask('reopen');
    assert.equal(code, 1);
    assert.match(stderr, /access\.log: cannot open it anew, so the old file stays in use: EACCES/);
    await ask(site, '/who');
    assert.equal(await server.stop(), 0);
    assert.match(readFileSync(log('access.log.1'), 'utf8'), /"url":"\/who"/);
  });

  asRoot('a link that the user has put in the place of a log leads root nowhere', async (t) => {
    const { site, server, log } = await start(t, ['-u', 'nobody']);
    chownSync(join(site.directory, 'logs'), NOBODY, NOBODY);
    const target = join(site.directory, 'target');
    const old = `${log('error.log')}.1`;
    renameSync(log('error.log'), old);
    symlinkSync(target, log('error.log'));
    lchownSync(log('error.log'), NOBODY, NOBODY);
    const refused = await site.ask('reopen');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /so the old file stays in use: ELOOP: it is a symbolic link that/);
    assert(!existsSync(target));
    assert.match(
      readFileSync(old, 'utf8'),
      /so the old file stays in use: ELOOP: it is a symbolic link that/,
    );
    assert.equal(await server.stop(), 0);
    site.write('target', '');
    const args = ['--check-config', '-u', 'nobody', '--error-logfile', log('error.log'), './app.mjs'];
    const { code, stderr } = await fasticorn(t, args, { cwd: site.directory });
    assert.equal(code, 1);
    assert.match(stderr, /^fasticorn: --error-logfile \S+: cannot open it for appending: ELOOP: .*\n$/);
  });

  asRoot('a link of root in a directory of root may lead to a log', async (t) => {
    const site = new Site(t);
    site.write('app.mjs', APP);
    site.write('target', '');
    chownSync(join(site.directory, 'target'), NOBODY, NOBODY);
    mkdirSync(join(site.directory, 'logs'), { mode: 0o755 });
    symlinkSync('../target', join(site.directory, 'logs/error.log'));
    const args = ['--check-config', '-u', 'nobody', '--error-logfile', 'logs/error.log', './app.mjs'];
    const { code, stderr } = await fasticorn(t, args, { cwd: site.directory });
    assert.deepEqual([stderr, code], ['', 0]);
    // What /dev/stderr leads to.
    const fd = openSync(join(site.directory, 'target'), 'a');
    t.after(() => closeSync(fd));
    closeSync(openLog(`/proc/self/fd/${fd}`, { wary: true }));
  });

  for (const flag of ['--access-logfile', '--error-logfile']) {
    asRoot(`a log file of root that is there already is refused, not given away: ${flag}`, async (t) => {
      const site = new Site(t);
      site.write('app.mjs', APP);
      const path = join(site.directory, 'root.log');
      site.write('root.log', '');
      chmodSync(path, 0o644);
      const args = ['-u', 'nobody', '-b', `unix:${site.socket}`, flag, 'root.log', './app.mjs'];
      const { code, stderr } = await fasticorn(t, args, { cwd: site.directory });
      assert.equal(code, 1);
      const told = stderr + readFileSync(path, 'utf8');
      assert.match(told, new RegExp(`${flag} ${path}: cannot open it for appending: EACCES`));
      assert.doesNotMatch(told, /\n +at /);
      assert.equal(statSync(path).uid, 0);
      const checked = await fasticorn(t, ['--check-config', ...args], { cwd: site.directory });
      assert.equal(checked.code, 1);
      assert.match(
        checked.stderr,
        new RegExp(`^fasticorn: ${flag} ${path}: cannot open it for appending: EACCES`),
      );
    });
  }

  asRoot('an autopsy still tells where a worker is stuck', async (t) => {
    const { site, log } = await start(t, ['-u', 'nobody', '--timeout', '1']);
    await ask(site, '/spin').catch(() => {});
    assert.match(readFileSync(log('error.log'), 'utf8'), /is blocked at \S+ \(file:\S+app\.mjs:\d+:\d+\)/);
  });

  asRoot('reload and upgrade go on with the same users, and lose nothing', async (t) => {
    const lineage = new Lineage(t);
    const { site } = await start(t, ['-u', 'nobody', '--access-logfile', 'off'], lineage.env);
    const enough = new AbortController();
    const running = load({ to: { socketPath: site.socket }, connections: 8, signal: enough.signal });
    try {
      for (const verb of ['reload', 'upgrade']) {
        const { code, stderr } = await site.ask(verb);
        assert.equal(code, 0, stderr);
      }
    } finally {
      enough.abort();
    }
    const { bad, refused, good } = await running;
    assert.deepEqual([bad, refused], [[], 0]);
    assert(good > 50);
    await until(() => lineage.arbiters().length === 1, 'the old arbiter to be gone');
    const [arbiter] = lineage.arbiters();
    assert.equal(identity(arbiter!.pid).uid, 0);
    for (const pid of await site.ready()) assert.equal(identity(pid!).uid, NOBODY);
    assert.equal((await site.ask('stop')).code, 0);
  });

  asRoot('orphans that may not remove the name of the socket end all the same', async (t) => {
    const { site, server } = await start(t, ['-u', 'nobody']);
    const workers = server.workers();
    server.kill('SIGKILL');
    await until(() => !workers.some(isRunning), 'the workers to be gone');
    // It is dead, and the next arbiter, who may, removes it.
    assert(existsSync(site.socket));
    const next = await startServer(t, './app.mjs', ['-u', 'nobody'], {
      ...{ socket: site.socket, cwd: site.directory, early: true },
    });
    await until(() => next.log().some(({ msg }) => msg.startsWith('ready')), 'the next server');
    assert.equal((await ask(site, '/')).body, 'hello');
    assert.equal(await next.stop(), 0);
  });

  asRoot('--check-config loads the app as that user', async (t) => {
    const site = new Site(t);
    site.write(
      'app.mjs',
      "export default async () => { throw new Error('loaded as ' + process.getuid()); };",
    );
    const { code, stderr } = await fasticorn(t, ['--check-config', '-u', 'nobody', './app.mjs'], {
      cwd: site.directory,
    });
    assert.equal(code, 4);
    assert.match(stderr, new RegExp(`loaded as ${NOBODY}`));
  });

  asRoot('root for root changes nothing', async (t) => {
    const { server } = await start(t, ['-u', 'root']);
    for (const pid of server.workers()) assert.deepEqual(identity(pid), identity(server.pid));
  });

  const refusals: [args: string[], reason: RegExp][] = [
    [['--user', 'no-such-user'], /^fasticorn: --user no-such-user: there is no such user on this machine\n$/],
    [
      ['--group', 'no-such-group'],
      /^fasticorn: --group no-such-group: there is no such group on this machine\n$/,
    ],
    [
      ['--user', '4242424'],
      /^fasticorn: --user 4242424: it has no account here, so no group either; add --group\n$/,
    ],
  ];
  for (const [args, reason] of refusals) {
    asRoot(`${args.join(' ')} is refused`, async (t) => {
      const site = new Site(t);
      const all = [...args, '-b', `unix:${site.socket}`, app('echo.mjs')];
      const { code, stderr } = await fasticorn(t, all);
      assert.equal(code, 1);
      assert.match(stderr, reason);
    });
  }

  asRoot('another user than root may name itself, and nobody else', async (t) => {
    const gid = findUser('nobody')!.account!.gid;
    if (gid !== NOBODY) return t.skip('needs a user nobody with a group of the same number');
    const site = new Site(t);
    chmodSync(site.directory, 0o777);
    const args = ['--check-config', '-b', `unix:${site.socket}`, app('echo.mjs')];
    const options = { uid: NOBODY, cwd: '/' };
    const own = await fasticorn(t, ['--user', 'nobody', '--group', `${gid}`, ...args], options);
    assert.deepEqual([own.stderr, own.code], ['', 0]);
    const other = await fasticorn(t, ['--user', 'root', ...args], options);
    assert.equal(other.code, 1);
    assert.equal(
      other.stderr,
      `fasticorn: --user root: only root can have workers be somebody else, and this is user ${NOBODY}; start as root, or drop it\n`,
    );
  });
});

describe('an account', () => {
  it('is found by name and by number', () => {
    const { username, uid, gid } = userInfo();
    assert.equal(findUser(username)?.uid, uid);
    assert.equal(findUser(`${uid}`)?.account?.gid, gid);
    assert.equal(findUser('no such user'), undefined);
    assert.equal(findGroup('12345'), 12345);
    assert.equal(findGroup('no such group'), undefined);
    assert.equal(findGroup(`${2 ** 32 - 1}`), undefined);
  });
});

describe('a program is started as somebody else', () => {
  it('by spawn, which takes all supplementary groups away', () => {
    assert.deepEqual(commandAs({ uid: 1, gid: 2, groups: [] }, 'node', ['a']), {
      ...{ file: 'node', args: ['a'], options: { uid: 1, gid: 2 } },
    });
  });

  it('by setpriv, where it has such groups', () => {
    const credentials = { uid: 1, gid: 2, groups: [3, 4], setpriv: '/bin/setpriv' };
    const { file, args, options } = commandAs(credentials, 'node', ['a']);
    const command = '/bin/setpriv --reuid 1 --regid 2 --groups 2,3,4 -- node a';
    assert.equal([file, ...args].join(' '), command);
    assert.deepEqual(options, {});
  });
});
