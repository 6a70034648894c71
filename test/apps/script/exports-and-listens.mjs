// Exports a server, but the first to listen is another one.
import { createServer } from 'node:http';

createServer((_request, response) => response.end('metrics')).listen(
  Number(process.env.METRICS),
  '127.0.0.1',
);
export default createServer((_request, response) => response.end('main'));
