/**
 * Node's `http`, for those who want it at run time. An import of `node:http` would have Node read all that it exports for
 * the import's sake, WebSocket and EventSource among it, and load an HTTP client of many files for that: 50 ms and more.
 */

/** Loads it, the first time. */
export const http = () => process.getBuiltinModule('node:http');
