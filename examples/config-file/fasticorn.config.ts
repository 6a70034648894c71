// Settings and hooks in one typed file: fasticorn --config fasticorn.config.ts
// Without the flag, a file of this name in the working directory is found.
import { defineConfig } from 'fasticorn';

export default defineConfig({
  app: './app.js',
  bind: ['unix:/tmp/app.sock', '127.0.0.1:8000'],
  workers: 4,
  gracefulTimeout: 20,
  maxRequests: 100_000,
  maxRequestsJitter: 10_000,
  whenReady: ({ addresses, took }) => console.error(`reachable at ${addresses} after ${took} ms`),
});
