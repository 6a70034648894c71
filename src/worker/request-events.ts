/**
 * By which events a server of Node hands out what its clients ask for.
 */

/** With a request and a response; the latter ones instead of the first, where somebody listens to them. */
export const REQUESTS: readonly string[] = ['request', 'checkContinue', 'checkExpectation'];

/** With a request and its connection, which is the listener's from then on. */
export const TUNNELS: readonly string[] = ['upgrade', 'connect'];
