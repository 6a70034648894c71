// Answers of every kind, for the access log.
import { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { WebSocketServer } from 'ws';

export default async function answers(app) {
  app.get('/', async () => 'hello');
  app.get('/*', async () => 'anything');
  app.get('/missing', (_request, reply) => reply.callNotFound());
  app.get('/boom', async () => {
    throw new Error('boom');
  });
  app.get('/last', async (_request, reply) => {
    reply.header('connection', 'close');
    return 'the last';
  });
  app.get('/streamed', (_request, reply) => reply.send(Readable.from(['a'.repeat(1000), 'b'.repeat(1000)])));
  app.get('/never', () => new Promise(() => {}));
  app.get('/impatient', async (_request, reply) => {
    reply.raw.setTimeout(50);
    return 'in a hurry';
  });
  app.get('/endless', (_request, reply) => {
    reply.hijack();
    reply.raw.writeHead(200);
    reply.raw.write('the beginning');
  });
  app.get('/breaks-off', (_request, reply) => {
    reply.send(
      Readable.from(
        (function* () {
          yield 'the beginning';
          throw new Error('the rest is not to be had');
        })(),
      ),
    );
  });
  app.get('/mounted/:rest', async (request) => {
    // As routers of Express do, and what has forms speak PUT.
    request.raw.url = '/rest';
    request.raw.method = 'PUT';
    return 'mounted';
  });
  app.get('/log', async () => {
    console.log('a line of the app itself');
    return 'logged';
  });

  const sockets = new WebSocketServer({ noServer: true });
  app.server.on('upgrade', (request, socket, head) => {
    if (request.url === '/ws')
      sockets.handleUpgrade(request, socket, head, (client) => client.send('welcome'));
    else if (request.url.startsWith('/routed')) {
      // As @fastify/websocket has what is no WebSocket answered: the connection stays.
      const response = new ServerResponse(request);
      response.assignSocket(socket);
      app.routing(request, response);
    } else if (request.url === '/refused-slowly') {
      socket.write('HTTP/1.1 103 Early Hints\r\n\r\n');
      socket.write('HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\n');
      let count = 0;
      const timer = setInterval(() => {
        socket.write('more');
        if (++count === 3) clearInterval(timer);
      }, 1500);
    } else if (request.url === '/early') {
      socket.write('HTTP/1.1 103 Early Hints\r\n\r\n');
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n');
      socket.pipe(socket);
    } else socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n');
  });
}
