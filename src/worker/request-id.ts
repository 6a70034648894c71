/**
 * Ids for requests that come without one from a proxy: unique across workers and restarts, unlike Fastify's own
 * `req-1`. Knows nothing about headers.
 */
import { randomBytes } from 'node:crypto';

/** Returns a function that makes ids such as `4f1d9a6b03-1c`: a random part for this process, then a counter. */
export function requestIds(): () => string {
  const process = randomBytes(5).toString('hex');
  let count = 0;
  return () => `${process}-${(++count).toString(36)}`;
}
