/**
 * The app's own signal handlers. They would end a worker in the middle of its requests, when a terminal signals its whole
 * group: they are held back, and called when the requests are done. Knows nothing of requests.
 */
import { EventEmitter } from 'node:events';
import { constants } from 'node:os';

const HELD: readonly unknown[] = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'];
const METHODS = [
  'on',
  'addListener',
  'once',
  'prependListener',
  'prependOnceListener',
  'off',
  'removeListener',
  'removeAllListeners',
  'listeners',
  'rawListeners',
  'listenerCount',
] as const;

/** Holds back what is installed from now on. */
export class HeldSignals {
  readonly #held = new EventEmitter();

  constructor() {
    for (const method of METHODS) {
      const original = process[method] as (...args: unknown[]) => unknown;
      const ours = this.#held[method] as (...args: unknown[]) => unknown;
      Object.assign(process, {
        [method]: (...args: unknown[]) => {
          if (!HELD.includes(args[0])) return original.apply(process, args);
          const result = ours.apply(this.#held, args);
          return result === this.#held ? process : result;
        },
      });
    }
  }

  /**
   * Calls the handlers as if the process had been told to end, and waits until they, or the lack of anything to do, have
   * ended it: at most so many milliseconds. Returns at once if there are none.
   */
  deliver(limit: number): Promise<void> {
    const signal = (['SIGTERM', 'SIGINT'] as const).find((one) => this.#held.listenerCount(one) > 0);
    if (!signal) return Promise.resolve();
    return new Promise((resolve) => {
      process.once('beforeExit', () => resolve());
      setTimeout(resolve, limit).unref();
      // Who has removed its handlers, and sends itself the signal once more, would be dead: so does signal-exit.
      EventEmitter.prototype.on.call(process, signal, () => {
        if (this.#held.listenerCount(signal) === 0) resolve();
      });
      // All that is left is to be the app's.
      process.channel?.unref();
      this.#held.emit(signal, signal, constants.signals[signal]);
    });
  }
}
