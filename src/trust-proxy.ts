/**
 * The `trustProxy` that an app may use for an instance of its own: it asks the worker it runs in, through the global
 * object, as an app may have a copy of this package of its own.
 */

/** Whether the word of an address is to be believed about who is before it; hop 0 is the connection's peer. */
export type TrustProxy = (address: string, hop: number) => boolean;

const KEY = Symbol.for('fasticorn.trustProxy');
const holder = globalThis as { [KEY]?: TrustProxy };

/** Has this process answer as its settings say. */
export function setTrustProxy(trust: TrustProxy): void {
  holder[KEY] = trust;
}

/**
 * For Fastify's option `trustProxy` and Express's setting `trust proxy`: right for the sockets and settings of the
 * server that the app runs in, and false everywhere else.
 */
export const trustProxy: TrustProxy = (address, hop) => holder[KEY]?.(address, hop) ?? false;
