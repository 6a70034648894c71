// Listens to its server: for one upgrade and no more, for every tunnel, and once it listens for expectations.
export default async function listensItself(app) {
  app.get('/', async () => 'plain');
  app.server.once('upgrade', (_request, socket) => {
    let writes = 0;
    const { write } = socket;
    // As an instrumentation does.
    socket.write = (...args) => {
      writes++;
      return write.apply(socket, args);
    };
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n');
    socket.write('now ');
    socket.end(`${writes} writes`);
  });
  app.server.on('connect', (_request, socket) => socket.end('HTTP/1.0 200 Connection established\r\n\r\n'));
  app.addHook('onListen', async () => {
    app.server.on('checkExpectation', (_request, response) => {
      response.writeHead(200);
      response.end('a miracle');
    });
  });
}
