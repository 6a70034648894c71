/**
 * The times, in seconds, that have to fit together between nginx, a stopping server and Docker:
 *
 *     PROXY_IDLE < IDLE_GRACE < graceful timeout - CUT_BEFORE < graceful timeout
 *     graceful timeout + HOOKS_GRACE < STOP_GRACE_PERIOD
 *
 * The graceful timeout (30 by default) and the keep-alive time are settings; these here are not.
 */

/**
 * How long nginx keeps an unused connection to the server in its pool. Less than `IDLE_GRACE`, so that during a
 * stop it is nginx that closes, never the server under a request that is on its way.
 */
export const PROXY_IDLE = 4;

/** How long a stop leaves idle keep-alive connections open for the proxy to close. */
export const IDLE_GRACE = 5;

/** How long before the graceful timeout whatever is left (WebSockets, event streams) is cut. */
export const CUT_BEFORE = 2;

/** How long the end of the server waits for the hooks of the config file. */
export const HOOKS_GRACE = 4;

/** How long Docker waits after SIGTERM before it kills: `stop_grace_period` in docker-compose.yml. */
export const STOP_GRACE_PERIOD = 35;
