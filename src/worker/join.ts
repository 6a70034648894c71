/**
 * How to hear of an event first without changing what Node does when nobody listens to it.
 */
import type { EventEmitter } from 'node:events';

/**
 * Puts a listener before the others of an event, as soon as there are others: one for `upgrade` or `checkContinue` that
 * is alone would take the request away from Node.
 */
export function join(emitter: EventEmitter, event: string, listener: (...args: never[]) => void): void {
  const prepend = () => emitter.prependListener(event, listener as (...args: unknown[]) => void);
  if (emitter.listenerCount(event) > 0) {
    prepend();
    return;
  }
  emitter.on('newListener', function onNew(added: string, other: unknown) {
    if (added !== event || other === listener) return;
    emitter.off('newListener', onNew);
    prepend();
  });
}
