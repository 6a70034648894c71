// Exports a server, but the first to listen is another one.
import { createServer } from 'node:http';

const { METRICS } = process.env;
createServer((_request, response) => response.end('metrics')).listen(
  METRICS.startsWith('/') ? { path: METRICS } : { port: Number(METRICS), host: '127.0.0.1' },
);
export default createServer((_request, response) => response.end('main'));
