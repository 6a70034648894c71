import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatAddress, parseAddress } from '../src/address.ts';

describe('an address', () => {
  const unix = (path: string) => ({ kind: 'unix', path });
  const tcp = (host: string, port: number) => ({ kind: 'tcp', host, port });

  const good: [text: string, address: object, meaning: string][] = [
    ['unix:/run/app.sock', unix('/run/app.sock'), 'an absolute path'],
    ['unix:///run/app.sock', unix('/run/app.sock'), 'a path written as a URL'],
    ['unix:app.sock', unix('app.sock'), 'a relative path, which stays relative'],
    ['unix:/run/a b:c.sock', unix('/run/a b:c.sock'), 'a path with a space and a colon'],
    ['127.0.0.1:8000', tcp('127.0.0.1', 8000), 'a host and a port'],
    ['localhost:80', tcp('localhost', 80), 'a host name'],
    [':8000', tcp('0.0.0.0', 8000), 'a port of all IPv4 interfaces'],
    ['[::1]:8000', tcp('::1', 8000), 'IPv6 in brackets'],
    ['[fe80::1%eth0]:8000', tcp('fe80::1%eth0', 8000), 'IPv6 with a zone'],
    ['unix:@app', { kind: 'abstract', name: 'app' }, 'an abstract name'],
    [
      'unix:@app/a b@1:c',
      { kind: 'abstract', name: 'app/a b@1:c' },
      'an abstract name with a slash, a space',
    ],
    ['unix:./@app', unix('./@app'), 'a file whose name begins with an at sign'],
    ['unix:/run/@app', unix('/run/@app'), 'a path with an at sign'],
    ['fd://3', { kind: 'fd', fd: 3 }, 'the first descriptor that can be passed on'],
    ['fd://1023', { kind: 'fd', fd: 1023 }, 'a descriptor'],
    ['127.0.0.1:0', tcp('127.0.0.1', 0), 'port 0, which lets the system choose'],
    ['127.0.0.1:65535', tcp('127.0.0.1', 65535), 'the last port'],
  ];
  for (const [text, address, meaning] of good) {
    it(`may be ${meaning}: ${text}`, () => assert.deepEqual(parseAddress(text), address));
    it(`is shown as text that reads back as the same: ${text}`, () => {
      const parsed = parseAddress(text);
      assert.deepEqual(parseAddress(formatAddress(parsed)), parsed);
    });
  }

  const bad: [text: string, meaning: string][] = [
    ['', 'empty'],
    ['unix:', 'a Unix socket without a path'],
    ['unix:@', 'an abstract socket without a name'],
    ['unix:@a\0b', 'an abstract name with a NUL'],
    ['unix:\0app', 'an abstract name behind a NUL'],
    ['@app', 'an abstract name without unix:'],
    ['unix://@app', 'an abstract name with a host, as in a URL'],
    ['@app:80', 'an abstract name with a port'],
    ['fd://', 'a descriptor without a number'],
    ['fd:3', 'a descriptor without slashes'],
    ['fd://03', 'a descriptor with a leading zero'],
    ['fd://2', 'a standard stream'],
    ['fd://0', 'standard input'],
    ['fd://-1', 'a negative descriptor'],
    ['fd://3/', 'a descriptor with a slash behind'],
    ['fd://9999999999', 'a descriptor that there cannot be'],
    ['unix:/run/', 'a folder'],
    ['unix:/run/a\0b', 'a path with a NUL'],
    ['unix://app.sock', 'a Unix socket with a host, as in a URL'],
    ['unix:////run/app.sock', 'a Unix socket with too many slashes'],
    ['/run/app.sock', 'a path without unix:'],
    ['8000', 'a port without a colon'],
    ['localhost', 'a host without a port'],
    ['localhost:', 'a host with an empty port'],
    ['localhost:http', 'a port that is a word'],
    ['localhost:-1', 'a negative port'],
    ['localhost:65536', 'a port above 65535'],
    ['::1:8000', 'IPv6 without brackets'],
    ['[::1]', 'IPv6 without a port'],
    ['[zz]:1', 'brackets around what is no IPv6'],
    ['[1.2.3.4]:1', 'brackets around IPv4'],
    ['http://localhost:80', 'a URL'],
    ['local host:80', 'a host with a space'],
  ];
  for (const [text, meaning] of bad) {
    it(`is not ${meaning}: ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseAddress(text), /^Error: expected [^\n]+$/);
    });
  }
});
