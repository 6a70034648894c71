// Passes requests on: from one event to another as Node's documentation does, and from a listener in the place of all
// others to those, as Engine.IO does.
import { createServer } from 'node:http';

const server = createServer((_request, response) => response.end('by the others'));
server.on('checkContinue', (request, response) => {
  response.writeContinue();
  server.emit('request', request, response);
});
server.on('listening', () => {
  const others = server.listeners('request');
  server.removeAllListeners('request');
  server.on('request', (request, response) => {
    if (request.url === '/own') response.end('by the only one');
    else for (const other of others) other.call(server, request, response);
  });
});

export default server;
