/**
 * What follows `--` on the command line, as the options of a plugin.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pluginOptions } from '../src/worker/plugin-options.ts';

describe('plugin options', () => {
  const cases: [args: string, options: object][] = [
    ['', {}],
    ['--one', { one: true }],
    ['--one --two foo', { one: true, two: 'foo' }],
    ['--two=foo=bar --empty=', { two: 'foo=bar', empty: '' }],
    ['--some-key value --other-some-key', { someKey: 'value', otherSomeKey: true }],
    ['-a -bc', { a: true, b: true, c: true }],
    ['--number 3 --no-color', { number: '3', noColor: true }],
    ['--twice 1 --twice 2', { twice: '2' }],
    ['stray --one', { one: true }],
    ['--one -- --two', { one: true }],
  ];
  for (const [args, options] of cases) {
    it(`are read like those of fastify-cli: ${args || '(none)'}`, () => {
      assert.deepEqual(pluginOptions(args.split(' ').filter((arg) => arg !== '')), options);
    });
  }
});
