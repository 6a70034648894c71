/**
 * Lines that are put together piece by piece, and handed on as many at a time as may be written together.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { LineBuffer, PLAIN } from '../src/line-buffer.ts';
import { MAX_LINE } from '../src/line-writer.ts';
import { until } from './support/server.ts';

interface Delivery {
  text: string;
  lines: number;
}

function begin(most: number | (() => number)): { buffer: LineBuffer; deliveries: Delivery[] } {
  const deliveries: Delivery[] = [];
  const buffer = new LineBuffer({
    most: typeof most === 'number' ? () => most : most,
    deliver: (bytes, lines) => deliveries.push({ text: bytes.toString('latin1'), lines }),
  });
  return { buffer, deliveries };
}

const put = (buffer: LineBuffer, line: string) => buffer.begin().add(Buffer.from(line)).end();
const texts = (deliveries: readonly Delivery[]) => deliveries.map(({ text }) => text);

describe('A line buffer', () => {
  it('hands on whole lines, as many as fit, each once and in their order', () => {
    const line = fc
      .integer({ min: 1, max: MAX_LINE })
      .chain((size) => fc.constant(`${'x'.repeat(size - 1)}\n`));
    fc.assert(
      fc.property(fc.array(line), fc.constantFrom(MAX_LINE, 3 * MAX_LINE), (lines, most) => {
        const { buffer, deliveries } = begin(most);
        for (const one of lines) put(buffer, one);
        buffer.flush();
        assert.equal(texts(deliveries).join(''), lines.join(''));
        deliveries.forEach(({ text, lines: count }, index) => {
          assert.ok(text.endsWith('\n') && text.length <= most, `${text.length}`);
          assert.equal(count, text.split('\n').length - 1);
          const next = deliveries[index + 1]?.text.indexOf('\n') ?? most;
          assert.ok(text.length + next + 1 > most, 'no more deliveries than it takes');
        });
      }),
    );
  });

  it('hands on each line at once where nothing may go out together', () => {
    const { buffer, deliveries } = begin(0);
    put(buffer, 'one\n');
    put(buffer, 'two\n');
    assert.deepEqual(deliveries, [
      { text: 'one\n', lines: 1 },
      { text: 'two\n', lines: 1 },
    ]);
  });

  it('hands on what it holds by itself after a while', async () => {
    const { buffer, deliveries } = begin(MAX_LINE);
    put(buffer, 'later\n');
    assert.deepEqual(deliveries, []);
    await until(() => deliveries.length > 0, 'the line');
    put(buffer, 'later still\n');
    await until(() => deliveries.length > 1, 'the next line');
    assert.deepEqual(texts(deliveries), ['later\n', 'later still\n']);
  });

  it('forgets a line that was not finished', () => {
    const { buffer, deliveries } = begin(MAX_LINE);
    put(buffer, 'one\n');
    buffer.begin().addPlain('half a li');
    put(buffer, 'two\n');
    buffer.begin().addPlain('half a li');
    buffer.flush();
    put(buffer, 'three\n');
    buffer.flush();
    assert.deepEqual(texts(deliveries), ['one\ntwo\n', 'three\n']);
  });

  it('adds a plain text as it is, and nothing of any other', () => {
    const { buffer, deliveries } = begin(0);
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('"', '\\', '\x7f', '')),
        (text) => {
          deliveries.length = 0;
          const line = buffer.begin().add(Buffer.from('<'));
          const isAdded = line.addPlain(text);
          line.add(Buffer.from('>\n')).end();
          assert.equal(isAdded, PLAIN.test(text));
          assert.deepEqual(texts(deliveries), [isAdded ? `<${text}>\n` : '<>\n']);
        },
      ),
    );
  });

  it('adds thousandths with three decimals, or with none', () => {
    const { buffer, deliveries } = begin(0);
    const shown = (count: number) => {
      deliveries.length = 0;
      buffer.begin().addThousandths(count).add(Buffer.from('\n')).end();
      return texts(deliveries).join('');
    };
    assert.deepEqual([0, 1, 250, 7000, 12_345_600].map(shown), [
      '0\n',
      '0.001\n',
      '0.250\n',
      '7\n',
      '12345.600\n',
    ]);
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 50 }), (count) => {
        assert.match(shown(count), /^(0|[1-9]\d*)(\.\d{3})?\n$/);
        assert.equal(Math.round(Number(shown(count)) * 1000), count);
      }),
    );
  });

  it('asks anew how much may go out together when it is flushed', () => {
    let most = 3 * MAX_LINE;
    const { buffer, deliveries } = begin(() => most);
    const line = `${'x'.repeat(MAX_LINE - 1)}\n`;
    for (let n = 0; n < 3; n++) put(buffer, line);
    assert.deepEqual(deliveries, []);
    most = MAX_LINE;
    buffer.flush();
    for (let n = 0; n < 3; n++) put(buffer, line);
    buffer.flush();
    assert.deepEqual(
      deliveries.map(({ lines }) => lines),
      [3, 1, 1, 1],
    );
  });
});
