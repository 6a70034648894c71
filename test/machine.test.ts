import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { describe, it } from 'node:test';
import { cpusWithin, machine, memoryLimitOf, memoryWithin, quotaOf } from '../src/machine.ts';

const quota = (files: Record<string, string>) => quotaOf((path) => files[path]);

describe('the CPU quota', () => {
  it('is that of the root cgroup in a container with cgroup v2', () => {
    assert.equal(quota({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '150000 100000\n' }), 1.5);
  });

  it("is that of the process's own cgroup on a host with cgroup v2", () => {
    const own = '/sys/fs/cgroup/system.slice/app.service/cpu.max';
    assert.equal(
      quota({ '/proc/self/cgroup': '0::/system.slice/app.service\n', [own]: '50000 100000\n' }),
      0.5,
    );
  });

  it('is the least of the cgroup and its parents, whose limits hold too', () => {
    const files = {
      '/proc/self/cgroup': '0::/a/b/c\n',
      '/sys/fs/cgroup/a/b/c/cpu.max': 'max 100000\n',
      '/sys/fs/cgroup/a/b/cpu.max': '200000 100000\n',
      '/sys/fs/cgroup/a/cpu.max': '300000 100000\n',
    };
    assert.equal(quota(files), 2);
  });

  it("is found at the root when the path is the host's, unseen in the container", () => {
    const files = { '/proc/self/cgroup': '0::/docker/abc\n', '/sys/fs/cgroup/cpu.max': '20000 10000\n' };
    assert.equal(quota(files), 2);
  });

  it('is read from cgroup v1 too, wherever the cpu controller is mounted with others', () => {
    const files = {
      '/proc/self/cgroup': '5:memory:/docker/abc\n4:cpuset:/docker/abc\n3:cpu,cpuacct:/docker/abc\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '250000\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    };
    assert.equal(quota(files), 2.5);
  });

  for (const [meaning, files] of Object.entries({
    'nothing can be read': {},
    'v2 says max': { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': 'max 100000\n' },
    'v1 says -1': {
      '/proc/self/cgroup': '1:cpu:/\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    },
    'the files make no sense': { '/proc/self/cgroup': '0::/\nx\n::\n', '/sys/fs/cgroup/cpu.max': '\n' },
    'the period is zero': { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '100000 0\n' },
    'only another controller is limited': {
      '/proc/self/cgroup': '1:cpuset:/\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '100000\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    },
  })) {
    it(`is unlimited if ${meaning}`, () => assert.equal(quota(files), undefined));
  }
});

describe('the limit of memory', () => {
  const limit = (files: Record<string, string>) => memoryLimitOf((path) => files[path]);
  const MIB = 1024 * 1024;

  it('is that of the root cgroup in a container with cgroup v2', () => {
    assert.equal(
      limit({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/memory.max': `${512 * MIB}\n` }),
      512 * MIB,
    );
  });

  it('is the least of the cgroup and its parents, and of what slows down and what kills', () => {
    const files = {
      '/proc/self/cgroup': '0::/a/b\n',
      '/sys/fs/cgroup/a/b/memory.max': 'max\n',
      '/sys/fs/cgroup/a/memory.max': `${512 * MIB}\n`,
      '/sys/fs/cgroup/a/memory.high': `${400 * MIB}\n`,
    };
    assert.equal(limit(files), 400 * MIB);
  });

  it('is read from cgroup v1 too, and found at the root of a container', () => {
    const files = {
      '/proc/self/cgroup': '5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${256 * MIB}\n`,
    };
    assert.equal(limit(files), 256 * MIB);
  });

  it('is none if nothing can be read, or v2 says max', () => {
    assert.equal(limit({}), undefined);
    assert.equal(limit({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/memory.max': 'max\n' }), undefined);
  });

  it('is none if it is more than there is, as cgroup v1 has it where there is none', () => {
    assert.equal(memoryWithin(8192 * MIB, 2 ** 63), undefined);
    assert.equal(memoryWithin(8192 * MIB, 512 * MIB), 512 * MIB);
    assert.equal(memoryWithin(8192 * MIB, undefined), undefined);
  });
});

describe('the CPUs to use', () => {
  it('are the available ones without a quota', () =>
    assert.equal(cpusWithin(8, Number.POSITIVE_INFINITY), 8));
  it('are at most the quota, rounded up', () => assert.equal(cpusWithin(8, 1.5), 2));
  it('are at least one', () => assert.equal(cpusWithin(8, 0.5), 1));
  it('are at most the available ones', () => assert.equal(cpusWithin(2, 3), 2));
  it('are a whole number on this machine, whatever it is', () => {
    const { cpus } = machine();
    assert.ok(Number.isInteger(cpus) && cpus >= 1 && cpus <= availableParallelism(), `${cpus}`);
  });
});
