// A server for HTTP/2 that takes its streams as such, as servers for gRPC do: with trailers, and with tunnels.
import { createServer } from 'node:http2';

const server = createServer();
server.on('stream', (stream, headers) => {
  stream.on('error', () => {});
  if (headers[':method'] === 'CONNECT') {
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
    return;
  }
  if (headers[':path'] === '/slow') console.error('slow begins');
  stream.respond({ ':status': 200 }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  const forwarded = headers['x-forwarded-for'] ? ` for ${headers['x-forwarded-for']}` : '';
  setTimeout(
    () => stream.end(`answer to ${headers[':path']}${forwarded}`),
    headers[':path'] === '/slow' ? 500 : 0,
  );
});
server.listen(3000);
