/** A set for what comes and goes all the time. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Bag } from '../src/worker/bag.ts';

describe('A bag', () => {
  it('has what was added and not deleted since, whatever the order', () => {
    const things = Array.from({ length: 8 }, (_, id) => ({ id }));
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 7 })), (ids) => {
        const bag = new Bag<{ id: number }>();
        const model = new Set<{ id: number }>();
        for (const id of ids) {
          const thing = things[id]!;
          if (model.delete(thing)) bag.delete(thing);
          else {
            model.add(thing);
            bag.add(thing);
          }
          assert.equal(bag.size, model.size);
          assert.deepEqual(new Set(bag), model);
        }
      }),
    );
  });

  it('does not mind what it does not have', () => {
    const [bag, other] = [new Bag<object>(), new Bag<object>()];
    const [one, two] = [{}, {}];
    bag.add(one);
    other.add(two);
    bag.delete(two);
    bag.delete({});
    assert.deepEqual([...bag], [one]);
    bag.delete(one);
    bag.delete(one);
    assert.equal(bag.size, 0);
  });

  it('can be emptied while it is looked through', () => {
    const bag = new Bag<object>();
    for (let i = 0; i < 10; i++) bag.add({});
    let seen = 0;
    for (const member of bag) {
      bag.delete(member);
      seen++;
    }
    assert.deepEqual([seen, bag.size], [10, 0]);
  });
});
