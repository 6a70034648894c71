/**
 * `--forwarded-allow-ips`: which TCP peers may say who their clients are, also over several hops; and the `trustProxy`
 * that the package gives to apps with an instance of their own.
 */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import fastify from 'fastify';
import { trustProxy } from '../src/index.ts';
import { membershipIn } from '../src/worker/networks.ts';
import { trustProxyFor } from '../src/worker/peers.ts';
import { fetchFrom, startOnPort } from './support/http.ts';
import { app, startServer, until } from './support/server.ts';

const headers = {
  'X-Forwarded-For': '6.6.6.6, 198.51.100.9, 10.1.2.3',
  'X-Forwarded-Proto': 'https',
  'X-Request-ID': 'of-the-proxy',
};

async function seenWith(t: TestContext, ips: string | undefined, more: Record<string, string> = {}) {
  const args = ips === undefined ? [] : ['--forwarded-allow-ips', ips];
  const { server, target } = await startOnPort(t, app('mirror.mjs'), ['-w', '1', ...args]);
  const { ip, protocol, id } = (await fetchFrom(target, '/', { headers: { ...headers, ...more } })).json();
  await until(() => server.accessLog().length === 1, 'the access log');
  assert.equal(server.accessLog()[0]!.remoteAddress, ip);
  return [ip, protocol, id === 'of-the-proxy'];
}

describe('On a port, forwarding headers', () => {
  it('are believed of no peer by default, nor of one that is not allowed', async (t) => {
    assert.deepEqual(await seenWith(t, undefined), ['127.0.0.1', 'http', false]);
    assert.deepEqual(await seenWith(t, '10.0.0.0/8,::1'), ['127.0.0.1', 'http', false]);
  });

  it('are believed of a peer that is allowed, by its address or its network', async (t) => {
    assert.deepEqual(await seenWith(t, '127.0.0.1'), ['10.1.2.3', 'https', true]);
    assert.deepEqual(await seenWith(t, '127.0.0.0/8'), ['10.1.2.3', 'https', true]);
  });

  it('are believed hop by hop, as long as each is allowed by name', async (t) => {
    assert.deepEqual(await seenWith(t, '127.0.0.1,10.0.0.0/8'), ['198.51.100.9', 'https', true]);
  });

  it('are believed of every peer with *, but not of those that a peer names: these may be made up', async (t) => {
    assert.deepEqual(await seenWith(t, '*'), ['10.1.2.3', 'https', true]);
    assert.deepEqual(await seenWith(t, '*,10.0.0.0/8'), ['198.51.100.9', 'https', true]);
  });

  it('are believed by the variable of Gunicorn as well', async (t) => {
    const env = { FORWARDED_ALLOW_IPS: '127.0.0.1' };
    const { target } = await startOnPort(t, app('mirror.mjs'), ['-w', '1'], { env });
    assert.equal((await fetchFrom(target, '/', { headers })).json().ip, '10.1.2.3');
  });

  it('name the client in the access log also where the framework has not seen the request', async (t) => {
    const args = ['-w', '1', '--forwarded-allow-ips', '127.0.0.1,10.0.0.0/8', '--limit-request-line', '100'];
    const { server, target } = await startOnPort(t, app('mirror.mjs'), args);
    await fetchFrom(target, `/${'a'.repeat(200)}`, { headers });
    await until(() => server.accessLog().length === 1, 'the access log');
    assert.equal(server.accessLog()[0]!.remoteAddress, '198.51.100.9');
  });
});

describe('On a Unix socket, forwarding headers', () => {
  it('are believed of the proxy, and of those before it that are allowed', async (t) => {
    const { socket } = await startServer(t, app('mirror.mjs'), ['--forwarded-allow-ips', '10.0.0.0/8']);
    const { ip } = (await fetchFrom({ socketPath: socket }, '/', { headers })).json();
    assert.equal(ip, '198.51.100.9');
  });
});

describe('The trustProxy of the package', () => {
  it('trusts nobody outside of a worker', async (t) => {
    assert.equal(trustProxy('127.0.0.1', 0), false);
    const instance = fastify({ trustProxy });
    t.after(() => instance.close());
    instance.get('/', async (request) => request.ip);
    const answer = await instance.inject({ url: '/', headers: { 'x-forwarded-for': '6.6.6.6' } });
    assert.equal(answer.body, '127.0.0.1');
  });

  it('is in a worker what a plugin gets by itself', async (t) => {
    const { socket } = await startServer(t, app('trusting.mjs'), ['--forwarded-allow-ips', '10.0.0.0/8']);
    const answer = await fetchFrom({ socketPath: socket }, '/', { headers });
    assert.equal(answer.json().ip, '198.51.100.9');
    const { target } = await startOnPort(t, app('trusting.mjs'));
    assert.equal((await fetchFrom(target, '/', { headers })).json().ip, '127.0.0.1');
  });
});

describe('Whom a server trusts', () => {
  const unix = { kind: 'unix', path: '/s' } as const;
  const tcp = { kind: 'tcp', host: '::', port: 80 } as const;

  it('is nobody on ports alone, and the first hop wherever there is somebody', () => {
    assert.equal(trustProxyFor([tcp], undefined), false);
    for (const trust of [trustProxyFor([unix], undefined), trustProxyFor([tcp], ['*'])]) {
      assert.ok(trust);
      assert.deepEqual([trust('1.2.3.4', 0), trust('1.2.3.4', 1)], [true, false]);
    }
  });

  it('is found in networks of both families, also by IPv4 addresses as IPv6 sockets have them', () => {
    const isIn = membershipIn(['10.0.0.0/8', '192.0.2.1', '2001:db8::/32', 'fe80::1']);
    for (const one of ['10.255.0.1', '::ffff:10.0.0.1', '192.0.2.1', '2001:db8:1::1', 'fe80::1%eth0'])
      assert.equal(isIn(one), true, one);
    for (const one of [
      '11.0.0.1',
      '192.0.2.2',
      '::ffff:192.0.2.2',
      '2001:db9::',
      '',
      undefined,
      'unknown',
      '10.0.0.1:80',
    ])
      assert.equal(isIn(one), false, one);
    assert.equal(membershipIn(['*'])('::1'), true);
    assert.equal(membershipIn(['*'])(undefined), false);
  });
});
