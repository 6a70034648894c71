/**
 * The PROXY protocol's header as bytes: what is one, what is none, and what cannot be known yet.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ProxyHeaderError, readProxyHeader } from '../src/worker/proxy-header.ts';
import { v1, v2 } from './support/proxy-protocol.ts';

const read = (text: string) => readProxyHeader(Buffer.from(text, 'latin1'));
const readsTo = (text: string, address: string, port: number) =>
  assert.deepEqual(read(text), { length: text.length, client: { address, port } });
const isWrong = (bytes: string | Buffer) =>
  assert.throws(
    () => readProxyHeader(Buffer.from(bytes as string, 'latin1')),
    ProxyHeaderError,
    JSON.stringify(bytes),
  );

const client4 = { address: '203.0.113.7', port: 56324 };
const client6 = { address: '2001:db8::1:0:7', port: 443 };

describe('A header of version 1', () => {
  it('names an IPv4 or IPv6 client', () => {
    readsTo('PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n', '255.255.255.255', 65535);
    readsTo('PROXY TCP6 ffff::1 ::1 1 2\r\n', 'ffff::1', 1);
  });

  it('may name nobody, and say anything else then', () => {
    assert.deepEqual(read('PROXY UNKNOWN\r\n'), { length: 15 });
    const longest = `PROXY UNKNOWN ${'f'.repeat(91)}\r\n`;
    assert.equal(longest.length, 107);
    assert.deepEqual(read(longest), { length: 107 });
  });

  it('is refused at its first wrong byte, or when its line cannot end in time any more', () => {
    for (const text of ['G', 'GET / HTTP/1.1\r\n', 'PROXZ', 'proxy ', ' PROXY ', '\0', 'PROXY\r\n'])
      isWrong(text);
    isWrong(`PROXY UNKNOWN ${'f'.repeat(92)}\r\n`);
    isWrong(`PROXY TCP4 ${'1'.repeat(100)}`);
  });

  it('is refused if anything in its line is not as it has to be', () => {
    const right = 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2';
    assert.ok(read(`${right}\r\n`));
    const wrong = [
      'TCP4 ::1',
      'TCP6 1.2.3.4',
      'UDP4 1.2.3.4',
      'tcp4 1.2.3.4',
      'constructor 1.2.3.4',
      'TCP4 1.2.3',
      'TCP4 01.2.3.4',
    ];
    for (const one of wrong) isWrong(`${right.replace('TCP4 1.2.3.4', one)}\r\n`);
    for (const one of ['65536', '-1', '01', '1.0', '0x1', '', '1 ', ' 1', '1\n']) {
      isWrong(`PROXY TCP4 1.2.3.4 5.6.7.8 ${one} 2\r\n`);
      isWrong(`PROXY TCP4 1.2.3.4 5.6.7.8 2 ${one}\r\n`);
    }
    for (const more of [' 3', ' ', '  ']) isWrong(`${right}${more}\r\n`);
    for (const end of ['\n', '\r', '\r\r\n'])
      assert.throws(() => assert.ok(read(`${right}${end}GET / HTTP/1.1`)));
  });
});

describe('A header of version 2', () => {
  it('names an IPv4 or IPv6 client, whatever extensions follow', () => {
    for (const client of [client4, client6]) {
      for (const extension of ['', 'e'.repeat(200)]) {
        const bytes = v2(client, { extension: Buffer.from(extension) });
        assert.deepEqual(readProxyHeader(bytes), { length: bytes.length, client });
      }
    }
  });

  it('names an IPv4 client in the form of IPv6 as the other version and the system do', () => {
    const mapped = { address: '::ffff:1.2.3.4', port: 1 };
    const bytes = v2(mapped);
    assert.deepEqual(readProxyHeader(bytes), { length: bytes.length, client: mapped });
  });

  it('names nobody in a health check of the proxy itself, or for what is no TCP client', () => {
    for (const options of [{ command: 0 }, { family: 0x00 }, { family: 0x31 }, { family: 0x12 }]) {
      const bytes = v2(client4, options);
      assert.deepEqual(readProxyHeader(bytes), { length: bytes.length });
    }
  });

  it('is refused with another version, an unknown command, too few bytes for its addresses, or too many', () => {
    isWrong(v2(client4, { version: 1 }));
    isWrong(v2(client4, { command: 2 }));
    isWrong(v2(client4, { variable: 11 }));
    isWrong(v2(client6, { variable: 35 }));
    isWrong(v2(client4, { extension: Buffer.alloc(4085) }));
    assert.ok(readProxyHeader(v2(client4, { extension: Buffer.alloc(4084) })));
    isWrong('\r\n\r\n\0\r\nQUIT\r');
  });
});

describe('Whatever the bytes are', () => {
  const port = fc.integer({ min: 0, max: 65535 });
  const client = fc.record({ address: fc.oneof(fc.ipV4(), fc.ipV6()), port });
  const header = fc.oneof(
    client.map(v1),
    fc
      .record({ client, extension: fc.uint8Array({ maxLength: 300 }) })
      .map(({ client, extension }) => v2(client, { extension: Buffer.from(extension) })),
  );

  it('a header is read as a whole only, wherever it is cut, and nothing behind it', () => {
    fc.assert(
      fc.property(header, fc.uint8Array(), fc.nat(), (bytes, rest, at) => {
        const found = readProxyHeader(Buffer.concat([bytes, rest]));
        assert.equal(found?.length, bytes.length);
        assert.equal(readProxyHeader(bytes.subarray(0, at % bytes.length)), undefined);
      }),
    );
  });

  it('they are a header, or no header, or too few: never anything else', () => {
    const damaged = fc
      .record({ header, at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) })
      .map(({ header, at, byte }) => {
        header[at % header.length] = byte;
        return header;
      });
    const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(damaged, noise), (bytes) => {
        try {
          const found = readProxyHeader(bytes);
          if (found) assert.ok(found.length > 0 && found.length <= bytes.length);
        } catch (error) {
          assert.ok(error instanceof ProxyHeaderError, String(error));
        }
      }),
      { numRuns: 5000 },
    );
  });
});
