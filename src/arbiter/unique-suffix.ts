/**
 * What tells a hidden name from others in its directory. It need not be a secret, as whoever uses it takes no name that is
 * there already; so it does without node:crypto, which takes a while to load before the first worker is spawned.
 */

/** Eight hexadecimal digits, by chance. */
export function uniqueSuffix(): string {
  return Math.floor(Math.random() * 2 ** 32)
    .toString(16)
    .padStart(8, '0');
}
