/**
 * What Fastify says by itself in every worker and the server says better: the access log has one line per request,
 * the arbiter one per worker. Errors, and whatever the app logs itself, pass.
 */

/** What Fastify is made to say when it listens. */
export const LISTENING = 'fasticorn: listening';

const NOT_FOUND = /^Route [A-Z]+:.* not found$/s;

/** Whether a call of a log method is one of those lines. */
export function isRequestNoise([first, second]: readonly unknown[]): boolean {
  if (typeof first === 'string') return first === LISTENING || NOT_FOUND.test(first);
  if (second === 'incoming request') return typeof first === 'object' && first !== null && 'req' in first;
  return second === 'request completed' && typeof first === 'object' && first !== null && 'res' in first;
}
