/**
 * Whether somebody watches over the process, so that an upgrade would end everything.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Circumstances, tiedToUs } from '../src/arbiter/supervision.ts';

/** Started from a shell, unless said otherwise. */
const tied = (facts: Partial<Circumstances> = {}): string | undefined =>
  tiedToUs({ pid: 4711, ppid: 4000, env: {}, isContainer: false, isSuccessor: false, ...facts });

const CONTAINER = /^the container ends with this process; use reload .*--takeover$/;
const SYSTEMD = /^systemd ends the service with this process; use reload .*systemctl restart$/;

describe('An upgrade is possible', () => {
  it('from a shell, on a machine and in a container', () => {
    assert.equal(tied(), undefined);
    assert.equal(tied({ isContainer: true }), undefined);
  });

  it('when the shell that started us has gone', () => {
    assert.equal(tied({ ppid: 1 }), undefined);
  });

  it('from a terminal that is itself a service of systemd', () => {
    const env = { INVOCATION_ID: 'e5f1', SYSTEMD_EXEC_PID: '900' };
    assert.equal(tied({ env }), undefined);
  });

  it('from what an upgrade has started: that has outlived its predecessor', () => {
    const env = { INVOCATION_ID: 'e5f1', SYSTEMD_EXEC_PID: '4000' };
    assert.equal(tied({ ppid: 1, isContainer: true, isSuccessor: true, env }), undefined);
  });
});

describe('An upgrade is refused, with what to do instead', () => {
  it('as the first process of a container', () => {
    assert.match(tied({ pid: 1, ppid: 0, isContainer: true })!, CONTAINER);
    assert.match(tied({ pid: 1 })!, CONTAINER);
  });

  it("as the child of a container's init", () => {
    assert.match(tied({ pid: 7, ppid: 1, isContainer: true })!, CONTAINER);
  });

  it('there as well in Kubernetes, which leaves no file that tells of a container', () => {
    assert.match(tied({ pid: 7, ppid: 1, env: { KUBERNETES_SERVICE_HOST: '10.0.0.1' } })!, CONTAINER);
  });

  it('in a container that shares its pids with others, where the parent cannot be seen', () => {
    assert.match(tied({ pid: 7, ppid: 0 })!, CONTAINER);
  });

  it('as a service of systemd', () => {
    assert.match(tied({ ppid: 1, env: { INVOCATION_ID: 'e5f1' } })!, SYSTEMD);
  });

  it("as a service of a user's own systemd", () => {
    assert.match(tied({ ppid: 900, env: { INVOCATION_ID: 'e5f1', SYSTEMD_EXEC_PID: '4711' } })!, SYSTEMD);
  });
});
