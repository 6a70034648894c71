import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { generated, withTable } from './support/generate.ts';

describe('generated files', () => {
  it('are what `npm run generate` would write', () => {
    for (const { file, current, wanted } of generated()) {
      assert.equal(current, wanted, `${file} is stale: run npm run generate`);
    }
  });

  it('keep the text around the markers, however often they are written', () => {
    const text = 'before\n<!-- settings:begin -->\nold\n<!-- settings:end -->\nafter\n';
    const once = withTable(text, 'settings', '| $& |');
    assert.equal(once, 'before\n<!-- settings:begin -->\n\n| $& |\n\n<!-- settings:end -->\nafter\n');
    assert.equal(withTable(once, 'settings', '| $& |'), once);
  });

  it('are refused without both markers, rather than written somewhere', () => {
    assert.throws(
      () => withTable('no markers', 'settings', 'text'),
      /README\.md: expected <!-- settings:begin -->/,
    );
    assert.throws(
      () => withTable('<!-- settings:end --><!-- settings:begin -->', 'settings', 'text'),
      /README\.md/,
    );
  });
});
