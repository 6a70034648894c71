// A server of HTTP/1 that the app makes itself.
import { createServer } from 'node:http';

export default createServer((_request, response) => response.end('mine'));
