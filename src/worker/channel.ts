/**
 * The worker's end of the channel to the arbiter. The app sees it as well, under `process.send` and `disconnect`: what
 * it does there must neither pass for ours nor cut us off.
 */
import { createRequire } from 'node:module';
import type { Envelope, Order, Report } from '../protocol.ts';

/** Comes with the first order; what the arbiter believes carries it. */
let key: string | undefined;
/** What is to be done when there is no arbiter any more. */
let onGone: () => void = () => {};

/** As it was before the app could put something in its place. */
const send = process.send?.bind(process);

/**
 * Takes the arbiter's orders, before the app could hear them; `gone` is called when there is no arbiter any more.
 */
export function takeOrders(obey: (order: Order) => void, gone: () => void): void {
  const emit = process.emit as (event: string, ...args: unknown[]) => boolean;
  const take = (event: string, ...args: unknown[]): boolean => {
    const message = event === 'message' ? (args[0] as Envelope<Order> | null) : undefined;
    key ??= message?.key;
    if (!message || message.key !== key) return emit.call(process, event, ...args);
    obey(message.content);
    return true;
  };
  Object.assign(process, { emit: take });
  // Without one Node keeps messages back.
  process.on('message', () => {});
  onGone = gone;
  process.on('disconnect', gone);
}

/** Tells the arbiter; an arbiter that is gone hears nothing, and `disconnect` tells us so. */
export function report(content: Report, then: () => void = () => {}): void {
  if (process.channel && send && key !== undefined) {
    send({ key, content } satisfies Envelope<Report>, undefined, undefined, then);
  } else then();
}

/**
 * For --watch: tells which CommonJS files are loaded, in the form in which Node tells it. Node forgets those that a
 * module which is imported re-exports, and those that loaders such as jiti run.
 */
export function reportLoaded(): void {
  const { cache } = createRequire(import.meta.url);
  send?.({ 'watch:require': Object.keys(cache).filter((file) => !file.includes('/node_modules/')) });
}

/** Has the app's `process.disconnect()` do nothing: to us it would look as if the arbiter had died. */
export function keepChannel(warn: (text: string) => void): void {
  let warned = false;
  // Node calls it as well, when the arbiter is gone; a moment later the channel is then no more.
  process.disconnect = () => {
    setImmediate(() => {
      if (!process.channel) onGone();
      else if (!warned) warn('process.disconnect() does nothing here: the channel to the arbiter is needed');
      warned = true;
    });
  };
}
