/**
 * The image and docker-compose.yml as a user meets them: real engine, real nginx. Each test leaves the two
 * services running and healthy for the next one.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type IncomingHttpHeaders, type RequestOptions, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { WebSocket } from 'ws';
import { settings } from '../src/config/settings.ts';
import type { Status } from '../src/status.ts';
import { CUT_BEFORE, HOOKS_GRACE, IDLE_GRACE, PROXY_IDLE, STOP_GRACE_PERIOD } from '../src/timing.ts';
import { need } from './support/need.ts';
import { accepts, freePort } from './support/port.ts';
import { until } from './support/server.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const composeFile = join(root, 'docker-compose.yml');

describe('the times of nginx, a stop and Docker', () => {
  const graceful = settings.gracefulTimeout.default as number;

  it('fit together', () => {
    const rising = [
      PROXY_IDLE,
      IDLE_GRACE,
      graceful - CUT_BEFORE,
      graceful,
      graceful + HOOKS_GRACE,
      STOP_GRACE_PERIOD,
    ];
    assert.deepEqual(
      rising,
      [...new Set(rising)].sort((a, b) => a - b),
    );
  });

  it('are those in docker-compose.yml', () => {
    assert.match(readFileSync(composeFile, 'utf8'), new RegExp(`stop_grace_period: ${STOP_GRACE_PERIOD}s`));
  });
});

describe('docker compose', { ...need('docker'), timeout: 600_000 }, () => {
  const project = `fasticorn-test-${process.pid}-${randomBytes(3).toString('hex')}`;
  const image = `${project}-app`;
  const scratch = mkdtempSync(join(tmpdir(), 'fasticorn-docker-'));
  let port = 0;

  const docker = async (...args: string[]): Promise<string> => {
    const env = { ...process.env, HTTP_PORT: String(port) };
    const { stdout } = await promisify(execFile)('docker', args, { cwd: root, env, maxBuffer: 1 << 26 });
    return stdout.trim();
  };
  const compose = (...args: string[]) => docker('compose', '-p', project, '-f', composeFile, ...args);
  const up = (...args: string[]) => compose('up', '-d', '--wait', ...args);
  /** `compose` with a further file that changes the app's service; its lines are YAML. */
  const upWith = (...lines: string[]) => {
    const file = join(scratch, 'override.yml');
    writeFileSync(file, ['services:', '  app:', ...lines.map((line) => `    ${line}`), ''].join('\n'));
    return compose('-f', file, 'up', '-d', '--wait');
  };
  const container = (service: string) => compose('ps', '--all', '--quiet', service);
  const inspect = async (service: string, field: string) =>
    JSON.parse(await docker('inspect', '--format', `{{json .${field}}}`, await container(service)));

  const ask = (path: string, options: RequestOptions = {}, body?: Buffer) =>
    http({ port, path, ...options }, body);
  const facts = async (headers = {}) => JSON.parse((await ask('/', { headers })).body.toString());
  const serves = () =>
    until(
      async () => (await ask('/healthz').catch(() => undefined))?.status === 200,
      'the demo to answer',
      60,
    );
  /** What tells one run of nginx from another. */
  const nginxRun = async () => [await container('nginx'), await inspect('nginx', 'State.StartedAt')];

  /** Kills as the host's root would; a container that shares the host's processes can do it for any user. */
  const killFromHost = (pid: number) =>
    docker(
      ...['run', '--rm', '--pid', 'host', '--user', '0', '--entrypoint', 'node', image],
      ...['-e', `process.kill(${pid}, 'SIGKILL')`],
    );

  before(async () => {
    chmodSync(scratch, 0o755);
    port = (await accepts(80)) ? await freePort() : 80;
    try {
      await up('--build');
    } catch (error) {
      console.error(await compose('logs', '--tail', '50'));
      throw error;
    }
  });

  after(async () => {
    await compose('down', '--volumes', '--remove-orphans', '--rmi', 'local', '--timeout', '2');
    rmSync(scratch, { recursive: true, force: true });
  });

  it('starts two healthy services', async () => {
    assert.equal(await inspect('app', 'State.Health.Status'), 'healthy');
    assert.equal(await inspect('nginx', 'State.Health.Status'), 'healthy');
  });

  it('serves the demo app on the published port, through nginx', async () => {
    assert.deepEqual((await facts()).upstream, { through: 'nginx', socket: '/tmp/app.sock' });
  });

  it('shows a page to a browser', async () => {
    const { headers, body } = await ask('/?<i>', { headers: { accept: 'text/html,*/*' } });
    assert.match(headers['content-type'] ?? '', /^text\/html/);
    assert.match(body.toString(), /Worker <b>\d+<\/b> answered/);
    assert.doesNotMatch(body.toString(), /<i>/);
  });

  it('serves on /tmp/app.sock in the shared volume', async () => {
    const answer = await compose(
      ...['exec', '-T', 'nginx', 'curl', '-sS', '--unix-socket', '/tmp/app.sock', 'http://localhost/'],
    );
    assert.equal(JSON.parse(answer).upstream.through, 'no proxy');
  });

  it('tells the app who the client is, whatever the client says of itself', async () => {
    const honest = (await facts()).request;
    const lies = {
      'x-forwarded-for': '6.6.6.6',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'evil.example',
      'x-real-ip': '6.6.6.6',
      'x-request-id': 'evil',
      forwarded: 'for=6.6.6.6;proto=https;host=evil.example',
    };
    const { id, ...seen } = (await facts(lies)).request;
    const host = port === 80 ? '127.0.0.1' : `127.0.0.1:${port}`;
    assert.deepEqual(seen, { method: 'GET', url: '/', ip: honest.ip, protocol: 'http', host });
    assert.match(id, /^[0-9a-f]{32}$/);
    assert.match(await compose('logs', 'nginx'), new RegExp(`${seen.ip} .* ${id} `));

    const inside = await compose('exec', '-T', 'nginx', 'curl', '-sS', 'http://127.0.0.1/');
    assert.equal(JSON.parse(inside).request.ip, '127.0.0.1');
  });

  it('echoes 100 MB by any method', async () => {
    const body = randomBytes(100_000_000);
    const sum = (data: Buffer) => createHash('sha256').update(data).digest('hex');
    for (const method of ['POST', 'PUT', 'DELETE']) {
      const headers = { 'content-type': 'application/x-own', 'content-length': body.length };
      const answer = await ask('/echo', { method, headers }, body);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['content-type'], 'application/x-own');
      assert.equal(sum(answer.body), sum(body));
    }
  });

  it('carries WebSockets', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await once(socket, 'open');
    socket.send('hello');
    const [data] = await once(socket, 'message');
    assert.equal(String(data), 'hello');
    socket.close();
    await once(socket, 'close');
    const elsewhere = new WebSocket(`ws://127.0.0.1:${port}/elsewhere`);
    assert.match(String((await once(elsewhere, 'error'))[0]), /404/);
  });

  it('runs the app as a user that is not root, with node alone in the process tree', async () => {
    const [, ...lines] = (await docker('top', await container('app'), '-eo', 'pid,uid,args')).split('\n');
    const processes = lines.map((line) => /^\s*\d+\s+(\d+)\s+(.*)$/.exec(line)!.slice(1));
    assert.ok(processes.length >= 3, 'init, arbiter, a worker');
    for (const [uid, args] of processes) {
      assert.equal(uid, '1000');
      assert.match(args!, /^(\/sbin\/docker-init -- )?(\S*\/)?node |^fasticorn/);
      assert.doesNotMatch(args!, /npm/);
    }
  });

  it('has nothing but production dependencies in the image', async () => {
    const modules = await compose('exec', '-T', 'app', 'ls', '/srv/fasticorn/node_modules');
    assert.ok(modules.split('\n').includes('fastify'));
    for (const name of ['typescript', 'tsx', '@biomejs', 'fastify4', '@types']) {
      assert.ok(!modules.split('\n').includes(name), name);
    }
    for (const tool of ['make', 'gcc', 'python3', 'git']) {
      await assert.rejects(compose('exec', '-T', 'app', 'sh', '-c', `command -v ${tool}`), tool);
    }
  });

  for (const service of ['app', 'nginx']) {
    it(`gives ${service} a root filesystem to read, and no capability`, async () => {
      await assert.rejects(compose('exec', '-T', service, 'touch', '/etc/x'), /Read-only file system/);
      const status = await compose('exec', '-T', service, 'cat', '/proc/1/status');
      assert.match(status, /^CapBnd:\s+0+$/m);
      assert.match(status, /^NoNewPrivs:\s+1$/m);
      assert.doesNotMatch(status, /^Uid:\s+0/m);
    });
  }

  it('has a health check that fails where nobody answers', async () => {
    const [, command, ...args]: string[] = await inspect('app', 'Config.Healthcheck.Test');
    await assert.rejects(docker('run', '--rm', '--entrypoint', command!, image, ...args));
  });

  it('stops with exit code 0, after the answers to requests in flight', async () => {
    const slow = ask('/slow?ms=8000');
    await until(async () => {
      const status = await compose('exec', '-T', 'app', 'fasticorn', 'status', '--json');
      return (JSON.parse(status) as Status).workers.some(({ inFlight }) => inFlight === 1);
    }, 'the request to be in flight');
    await compose('stop');
    assert.equal((await slow).status, 200);
    assert.equal(await inspect('app', 'State.ExitCode'), 0);
    assert.equal(await inspect('nginx', 'State.ExitCode'), 0);
    await up();
    await serves();
  });

  it('starts the app again after a SIGKILL from the host', async () => {
    for (const victim of ['init', 'arbiter']) {
      const nginx = await nginxRun();
      const restarts: number = await inspect('app', 'RestartCount');
      const init: number = await inspect('app', 'State.Pid');
      const top = await docker('top', await container('app'), '-eo', 'pid,ppid');
      const arbiter = Number(new RegExp(`^\\s*(\\d+)\\s+${init}$`, 'm').exec(top)![1]);
      await killFromHost(victim === 'init' ? init : arbiter);
      await until(async () => (await inspect('app', 'RestartCount')) > restarts, 'a restart', 60);
      await serves();
      assert.deepEqual(await nginxRun(), nginx);
    }
  });

  it('comes back after `kill app` and `up -d`, over the stale socket, with nginx untouched', async () => {
    const nginx = await nginxRun();
    await compose('kill', 'app');
    await compose('exec', '-T', 'nginx', 'test', '-S', '/tmp/app.sock');
    assert.equal((await ask('/')).status, 502);
    await up();
    await serves();
    assert.deepEqual(await nginxRun(), nginx);
  });

  it('comes back after `restart app`, with nginx untouched', async () => {
    const nginx = await nginxRun();
    await compose('restart', 'app');
    await serves();
    assert.deepEqual(await nginxRun(), nginx);
  });

  it('heeds signals without an init process too', async () => {
    await upWith('init: false');
    assert.match(await compose('exec', '-T', 'app', 'cat', '/proc/1/cmdline'), /^(\S*node|fasticorn)/);
    await serves();
    await compose('stop', 'app');
    assert.equal(await inspect('app', 'State.ExitCode'), 0);
  });

  it('serves an app of one’s own, mounted by one line, whatever its routes', async () => {
    writeFileSync(
      join(scratch, 'app.js'),
      "export default async function (app) { app.get('/mine', async () => 'my own'); }\n",
    );
    await upWith(`volumes: ["${scratch}:/app:ro"]`);
    await until(async () => (await ask('/mine')).body.toString() === 'my own', 'the own app to answer');
    assert.equal((await ask('/')).status, 404);
    await up();
    await serves();
  });

  it('is no must: `docker run` serves the demo, and stops with exit code 0', async () => {
    const id = await docker('run', '--detach', image);
    try {
      const health = () => docker('inspect', '--format', '{{.State.Health.Status}}', id);
      await until(async () => (await health()) === 'healthy', 'the container to be healthy', 60);
      await docker('stop', '--time', '35', id);
      assert.equal(await docker('inspect', '--format', '{{.State.ExitCode}}', id), '0');
    } finally {
      await docker('rm', '--force', '--volumes', id);
    }
  });
});

/** A request on a connection of its own. */
async function http(
  options: RequestOptions,
  body?: Buffer,
): Promise<{ status: number; headers: IncomingHttpHeaders; body: Buffer }> {
  const outgoing = request({ host: '127.0.0.1', agent: false, ...options }).end(body);
  const [response] = await once(outgoing, 'response');
  const chunks: Buffer[] = await response.toArray();
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) };
}
