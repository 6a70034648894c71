/**
 * Makes the loggers of single requests cheap. Fastify has pino make a child for each request, most of which never write
 * a line; knows how pino keeps what a child adds to its lines, which is put together here only when one is written.
 */
import { createRequire } from 'node:module';
import type { Logger, pino } from 'pino';

// An import would have Node look for names to export first.
const { chindingsSym } = (createRequire(import.meta.url)('pino') as typeof pino).symbols;
const kBindings = Symbol('fasticorn.bindings');

/** As pino has it inside. */
interface Inner {
  child(this: Inner, bindings: object, options?: object): Inner;
  onChild: unknown;
  [chindingsSym]: string;
  [kBindings]?: object;
}

/** Has a logger, and whatever comes of it, make children as Fastify asks for them without any work in advance. */
export function deferRequestLoggers(logger: Logger): void {
  const { child, onChild } = logger as unknown as Inner;
  const prototypes = new WeakMap<Inner, Inner>();
  const prototypeFor = (parent: Inner): Inner => {
    const prototype = child.call(parent, {}, {});
    Object.defineProperty(prototype, chindingsSym, {
      get(this: Inner) {
        this[chindingsSym] = child.call(parent, this[kBindings] ?? {}, {})[chindingsSym];
        return this[chindingsSym];
      },
      set(this: Inner, value: string) {
        Object.defineProperty(this, chindingsSym, { value, writable: true, configurable: true });
      },
    });
    prototypes.set(parent, prototype);
    return prototype;
  };
  Object.assign(logger, {
    child(this: Inner, bindings: object, options?: object) {
      // An app that makes one of its own has things to say, and may change what it gave us.
      const isRequests = isId(bindings) && isFastifys(options) && this.onChild === onChild;
      if (!isRequests) return child.call(this, bindings, options);
      const one = Object.create(prototypes.get(this) ?? prototypeFor(this)) as Inner;
      one[kBindings] = bindings;
      return one;
    },
  });
}

/** Whether these are the bindings of a request's logger: its id, under whatever name. */
function isId(bindings: object | undefined): boolean {
  let count = 0;
  for (const name in bindings)
    if (++count > 1 || typeof (bindings as Record<string, unknown>)[name] !== 'string') return false;
  return count === 1;
}

/** Whether these are the options of a request's logger on a route without any: `{}`, or the level '' from Fastify 4. */
function isFastifys(options: object | undefined): boolean {
  if (!options) return false;
  for (const name in options) if (name !== 'level' || (options as { level: unknown }).level) return false;
  return true;
}
