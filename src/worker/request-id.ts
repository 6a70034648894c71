/**
 * Ids for requests that come without one from a proxy: unique across workers and restarts, as far as chance can do it,
 * unlike Fastify's own `req-1`. Knows nothing about headers.
 */
import { randomInt } from 'node:crypto';

const BASE = 36;
const PAIRS = Array.from({ length: BASE ** 2 }, (_, n) => n.toString(BASE).padStart(2, '0'));
/** How many ids have the same beginning. */
const SERIES = PAIRS.length ** 2;

/**
 * Returns a function that makes ids such as `4f1d9a6b001c`: a random beginning, which changes now and then, and a counter.
 * Not longer, as V8 makes a text of 12 characters at once, but of a longer one only links the parts, to be copied for
 * whoever reads it.
 */
export function requestIds(): () => string {
  let [beginning, block, count] = ['', '', SERIES];
  return () => {
    if (count === SERIES) [beginning, count] = [randomBeginning(), 0];
    if (count % PAIRS.length === 0) block = beginning + PAIRS[count / PAIRS.length]!;
    return block + PAIRS[count++ % PAIRS.length]!;
  };
}

function randomBeginning(): string {
  return randomInt(BASE ** 8)
    .toString(BASE)
    .padStart(8, '0');
}
