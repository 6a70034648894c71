/**
 * Addresses to bind, as text and as data. Pure: whether an address can be bound is the listener's business.
 */

/** Where the server listens: the path of a Unix domain socket, or a TCP host and port. */
export type Address = { kind: 'unix'; path: string } | { kind: 'tcp'; host: string; port: number };

/**
 * Reads `unix:/path`, `unix:///path`, `HOST:PORT`, `[IPv6]:PORT`, or `:PORT` (all IPv4 interfaces, as in Gunicorn).
 * A relative path stays relative. Port 0 lets the system choose.
 *
 * @throws Error with what was expected, without naming the setting.
 */
export function parseAddress(text: string): Address {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
    // In `unix://app.sock` a URL would have a host, which nobody means.
    if (path === '' || path.startsWith('//') || path.endsWith('/') || path.includes('\0'))
      throw new Error('expected a file name after unix:');
    return { kind: 'unix', path };
  }
  const match = /^(?:\[((?=[^\]]*:[^\]]*:)[\da-fA-F:.]+(?:%[\w.-]+)?)\]|([^:[\]/\s]*)):(\d{1,5})$/.exec(text);
  if (!match) {
    const hint = /^\.{0,2}\//.test(text) ? `; did you mean unix:${text}?` : '';
    throw new Error(`expected unix:/path/to.sock or HOST:PORT${hint}`);
  }
  const port = Number(match[3]);
  if (port > 65535) throw new Error('expected a port from 0 to 65535');
  return { kind: 'tcp', host: match[1] ?? (match[2] || '0.0.0.0'), port };
}

/** The text that `parseAddress` reads back as the same address. */
export function formatAddress(address: Address): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}
