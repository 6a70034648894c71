import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { generated, withReference } from './support/generate.ts';

describe('generated files', () => {
  it('are what `npm run generate` would write', () => {
    for (const { file, current, wanted } of generated()) {
      assert.equal(current, wanted, `${file} is stale: run npm run generate`);
    }
  });

  it('keep the text around the markers, however often they are written', () => {
    const text = 'before\n<!-- settings:begin -->\nold\n<!-- settings:end -->\nafter\n';
    const once = withReference(text, '| $& |');
    assert.equal(once, 'before\n<!-- settings:begin -->\n\n| $& |\n\n<!-- settings:end -->\nafter\n');
    assert.equal(withReference(once, '| $& |'), once);
  });

  it('are refused without both markers, rather than written somewhere', () => {
    assert.throws(() => withReference('no markers', 'text'), /README\.md: expected <!-- settings:begin -->/);
    assert.throws(() => withReference('<!-- settings:end --><!-- settings:begin -->', 'text'), /README\.md/);
  });
});
