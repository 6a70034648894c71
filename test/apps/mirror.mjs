// Says what the app sees of each request, in every way that Node and Fastify show it. With LISTEN=1 it listens itself
// to the events that Node treats differently when somebody does.
const seen = (request) => ({
  headers: request.headers,
  distinct: request.headersDistinct,
  raw: request.rawHeaders,
  peer: request.socket.remoteAddress,
});

export default async function mirror(app) {
  const peers = new WeakMap();
  app.server.on('connection', (socket) => peers.set(socket, socket.remoteAddress));

  app.all('/', async (request) => ({
    ip: request.ip,
    ips: request.ips,
    protocol: request.protocol,
    host: request.host ?? request.hostname,
    hostname: request.hostname,
    id: request.id,
    pid: process.pid,
    peerAtConnection: peers.get(request.raw.socket),
    body: request.body,
    ...seen(request.raw),
  }));

  if (!process.env.LISTEN) return;
  const say = (event) => (request, response) => {
    request.resume().on('end', () => response.end(JSON.stringify({ event, ...seen(request) })));
  };
  app.server.on('checkContinue', (request, response) => {
    response.writeContinue();
    say('checkContinue')(request, response);
  });
  app.server.on('checkExpectation', say('checkExpectation'));
  for (const event of ['upgrade', 'connect']) {
    app.server.on(event, (request, socket) => {
      const body = JSON.stringify({ event, ...seen(request) });
      socket.end(`HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\n\r\n${body}`);
    });
  }
}
