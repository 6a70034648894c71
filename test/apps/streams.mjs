// Answers streams of HTTP/2 itself, without a request and a response.
import { createServer } from 'node:http2';

export default createServer().on('stream', (stream) => {
  stream.respond({ ':status': 201 });
  stream.end('made');
});
