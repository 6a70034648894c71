/**
 * Ids for requests that have none.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { requestIds } from '../src/worker/request-id.ts';

/** One more than begin with the same eight characters. */
const MANY = 36 ** 4 + 1;

describe('The ids of requests', () => {
  it('are all different, and of one length, also when the counter begins anew', () => {
    const next = requestIds();
    const seen = new Set<string>();
    for (let n = 0; n < MANY; n++) {
      const id = next();
      if (!/^[0-9a-z]{12}$/.test(id)) assert.fail(id);
      seen.add(id);
    }
    assert.equal(seen.size, MANY);
  });

  it('begin differently in each process, and tell the order of those that begin alike', () => {
    const [one, other] = [requestIds(), requestIds()];
    const ids = Array.from({ length: 3000 }, one);
    assert.deepEqual(ids, [...ids].sort());
    assert.notEqual(ids[0]!.slice(0, 8), other().slice(0, 8));
  });
});
