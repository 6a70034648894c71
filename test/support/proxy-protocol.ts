/**
 * Headers of the PROXY protocol, right or wrong as a test wants them.
 */
import { isIPv6 } from 'node:net';

export interface Client {
  address: string;
  port: number;
}

/** The line of version 1, as HAProxy's `send-proxy` sends it. */
export function v1({ address, port }: Client): Buffer {
  const [protocol, destination] = isIPv6(address) ? ['TCP6', '::1'] : ['TCP4', '127.0.0.1'];
  return Buffer.from(`PROXY ${protocol} ${address} ${destination} ${port} 443\r\n`);
}

export interface V2Options {
  version?: number;
  /** 0 for LOCAL, 1 for PROXY. */
  command?: number;
  /** Family and transport. */
  family?: number;
  /** What follows the addresses. */
  extension?: Buffer;
  /** A length other than the true one. */
  variable?: number;
}

/** The bytes of version 2, as an AWS NLB sends them. */
export function v2({ address, port }: Client, options: V2Options = {}): Buffer {
  const isV6 = isIPv6(address);
  const { version = 2, command = 1, family = isV6 ? 0x21 : 0x11, extension = Buffer.alloc(0) } = options;
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(port, 0);
  ports.writeUInt16BE(443, 2);
  const source = isV6 ? bytesOfV6(address) : Buffer.from(address.split('.').map(Number));
  const rest = Buffer.concat([source, Buffer.alloc(source.length), ports, extension]);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(options.variable ?? rest.length);
  return Buffer.concat([
    Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
    Buffer.from([(version << 4) | command, family]),
    ...[length, rest],
  ]);
}

function bytesOfV6(address: string): Buffer {
  const text = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [before = '', after = ''] = text.split('::').map((part) => part);
  const groups = (part: string) => (part ? part.split(':') : []);
  const [head, tail] = [groups(before), groups(after)];
  const all = [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail];
  const bytes = Buffer.alloc(16);
  all.forEach((group, index) => {
    bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  });
  return bytes;
}
