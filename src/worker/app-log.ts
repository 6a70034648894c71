/**
 * What Fastify says by itself in every worker and the server says better: the access log has one line per request,
 * the arbiter one per worker. Errors, and whatever the app logs itself, pass.
 */
import type { LogController } from 'fastify';

/** What Fastify is made to say when it listens. */
export const LISTENING = 'fasticorn: listening';

const NOT_FOUND = /^Route [A-Z-]+:.* not found$/s;

/** Whether a call of a log method is one of those lines. */
export function isRequestNoise([first, second]: readonly unknown[]): boolean {
  if (typeof first === 'string') return first === LISTENING || NOT_FOUND.test(first);
  if (second === 'incoming request') return typeof first === 'object' && first !== null && 'req' in first;
  return second === 'request completed' && typeof first === 'object' && first !== null && 'res' in first;
}

/**
 * Has Fastify not even begin those lines that each request would pay for. What an older Fastify than 5.12 still begins is
 * dropped by `isRequestNoise`.
 *
 * @param options as Fastify would give them to a controller of its own.
 */
export function quietController(Base: typeof LogController, options: object): LogController {
  class Quiet extends Base {
    override incomingRequest(): void {}
    override requestCompleted(...args: Parameters<LogController['requestCompleted']>): void {
      if (args[0]) super.requestCompleted(...args);
    }
  }
  return new Quiet(options);
}
