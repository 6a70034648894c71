/**
 * What `npm test` prints: node's own spec report, then which suites were skipped and how to have them, and as the
 * last line the counts.
 */
import { Readable } from 'node:stream';
import { spec } from 'node:test/reporters';

export default async function* report(events) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const skipped = [];

  async function* counted() {
    for await (const event of events) {
      if (event.type === 'test:pass' || event.type === 'test:fail') count(event.type, event.data);
      yield event;
    }
  }

  function count(type, { name, skip, details }) {
    // A suite counts only for what its tests do not say: that it was skipped, or failed by itself.
    const isSuite = details.type === 'suite';
    if (skip !== undefined) {
      counts.skipped += 1;
      skipped.push(`  ${name}${typeof skip === 'string' ? `: ${skip}` : ''}`);
    } else if (type === 'test:pass') {
      counts.passed += isSuite ? 0 : 1;
    } else {
      counts.failed += isSuite && details.error?.failureType === 'subtestsFailed' ? 0 : 1;
    }
  }

  yield* Readable.from(counted()).compose(new spec());
  if (skipped.length > 0) yield `\nSkipped:\n${skipped.join('\n')}\n`;
  yield `\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`;
}
