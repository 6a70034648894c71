/**
 * Certificates for tests: two pairs that nobody trusts, valid for a hundred years, for localhost and 127.0.0.1.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const file = (name: string) => fileURLToPath(new URL(`./tls/${name}`, import.meta.url));

/** The files of a pair, and its certificate as a client may trust it. */
export const pair = (name: 'first' | 'second') => ({
  cert: file(`${name}.crt`),
  key: file(`${name}.key`),
  ca: readFileSync(file(`${name}.crt`), 'utf8'),
});

/** A key that takes a passphrase. */
export const encryptedKey = file('encrypted.key');

/** The flags that have a server speak TLS. */
export const tlsFlags = ({ cert, key }: { cert: string; key: string }) => [
  ...['--certfile', cert, '--keyfile', key],
];
