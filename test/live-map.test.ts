/** A map for keys that come and go all the time. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { LiveMap } from '../src/worker/live-map.ts';

describe('A live map', () => {
  it('has what was set and not deleted since, whatever the order', () => {
    const keys = Array.from({ length: 8 }, (_, id) => ({ id }));
    const step = fc.record({ id: fc.nat({ max: 7 }), value: fc.option(fc.nat()) });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const map = new LiveMap<object, number>();
        const model = new Map<object, number>();
        for (const { id, value } of steps) {
          const key = keys[id]!;
          for (const one of [map, model]) {
            if (value === null) one.delete(key);
            else one.set(key, value);
          }
          assert.equal(map.size, model.size);
          assert.deepEqual(new Map([...map]), model);
          assert.deepEqual(map.values().sort(), [...model.values()].sort());
          for (const other of keys) assert.equal(map.get(other), model.get(other));
        }
      }),
    );
  });

  it('does not mind what it does not have', () => {
    const [map, other] = [new LiveMap<object, string>(), new LiveMap<object, string>()];
    const [one, two] = [{}, {}];
    map.set(one, 'one');
    other.set(two, 'two');
    map.delete(two);
    map.delete({});
    assert.deepEqual([...map], [[one, 'one']]);
    assert.equal(map.get(two), undefined);
    assert.equal(map.get(undefined as unknown as object), undefined);
    map.delete(one);
    map.delete(one);
    assert.equal(map.size, 0);
  });

  it('can be emptied while it is looked through', () => {
    const map = new LiveMap<object, number>();
    for (let i = 0; i < 10; i++) map.set({}, i);
    let seen = 0;
    for (const [key] of map) {
      map.delete(key);
      seen++;
    }
    assert.deepEqual([seen, map.size], [10, 0]);
  });
});
