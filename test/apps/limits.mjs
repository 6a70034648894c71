// Says what it has got; with LISTEN=1 also where Node would answer by itself.
export default async function limits(app) {
  const seen = [];
  app.get('/seen', async () => seen);
  app.addHook('onRequest', async (request) => {
    if (request.url !== '/seen') seen.push(request.url.slice(0, 20));
  });
  app.all('/*', async (request) => ({
    fields: request.raw.rawHeaders.length / 2,
    body: request.body ?? null,
  }));
  if (!process.env.LISTEN) return;
  for (const event of ['checkContinue', 'checkExpectation']) {
    app.server.on(event, (_request, response) => response.end(event));
  }
  app.server.on('upgrade', (_request, socket) => {
    socket.end('HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\n\r\nupgrade');
  });
}
