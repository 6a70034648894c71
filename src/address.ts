/**
 * Addresses to bind, as text and as data. Pure: whether an address can be bound is the listener's business.
 */

/** What a socket is bound to: a path in the file system, an abstract name (Linux), or a TCP host and port. */
export type SocketAddress =
  | { kind: 'unix'; path: string }
  | { kind: 'abstract'; name: string }
  | { kind: 'tcp'; host: string; port: number };

/** Where the server listens: at such an address, or on a socket that whoever starts it has bound already. */
export type Address = SocketAddress | { kind: 'fd'; fd: number };

/**
 * Reads `unix:/path`, `unix:///path`, `unix:@name` (an abstract name), `HOST:PORT`, `[IPv6]:PORT`, `:PORT` (all IPv4
 * interfaces) or `fd://N`; the last two as in Gunicorn. A relative path stays relative. Port 0 lets the system choose.
 *
 * @throws Error with what was expected, without naming the setting.
 */
export function parseAddress(text: string): Address {
  if (text.startsWith('fd:')) return { kind: 'fd', fd: parseDescriptor(text) };
  if (text.startsWith('unix:@')) {
    const name = text.slice('unix:@'.length);
    if (name === '' || name.includes('\0')) throw new Error('expected an abstract name after unix:@');
    return { kind: 'abstract', name };
  }
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
    // In `unix://app.sock` a URL would have a host, which nobody means.
    if (path === '' || path.startsWith('//') || path.endsWith('/') || path.includes('\0'))
      throw new Error('expected a file name after unix:');
    return { kind: 'unix', path };
  }
  const match = /^(?:\[((?=[^\]]*:[^\]]*:)[\da-fA-F:.]+(?:%[\w.-]+)?)\]|([^:[\]/\s@]*)):(\d{1,5})$/.exec(
    text,
  );
  if (!match) {
    const isPort = /^\d{1,5}$/.test(text);
    const meant = isPort ? `:${text}` : /^(\.{0,2}\/|@)/.test(text) ? `unix:${text}` : undefined;
    throw new Error(`expected unix:/path/to.sock or HOST:PORT${meant ? `; did you mean ${meant}?` : ''}`);
  }
  const port = Number(match[3]);
  if (port > 65535) throw new Error('expected a port from 0 to 65535');
  return { kind: 'tcp', host: match[1] ?? (match[2] || '0.0.0.0'), port };
}

/** 0, 1 and 2 are standard streams. */
function parseDescriptor(text: string): number {
  const fd = Number(/^fd:\/\/([1-9]\d{0,6}|0)$/.exec(text)?.[1] ?? Number.NaN);
  if (!(fd >= 3)) throw new Error('expected fd://N with the number of a descriptor, from 3 on');
  return fd;
}

/** The text that `parseAddress` reads back as the same address. */
export function formatAddress(address: Address): string {
  switch (address.kind) {
    case 'unix':
      return `unix:${address.path}`;
    case 'abstract':
      return `unix:@${address.name}`;
    case 'fd':
      return `fd://${address.fd}`;
    case 'tcp':
      return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
  }
}

/** Whether it is a Unix socket for sure, by whatever name; what a descriptor is turns out when it is taken up. */
export function isUnix({ kind }: Address): boolean {
  return kind === 'unix' || kind === 'abstract';
}
