// Node's own server and its listener, without a framework.
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { download, eventStream, hash, token } from './answers.mjs';

export async function listener(req, res) {
  const { pathname, searchParams } = new URL(req.url, 'http://localhost');
  const [, route, text] = pathname.split('/');
  const delay = searchParams.get('delay');
  if (route === 'token') res.end(await token(text, delay));
  else if (route === 'hash') res.end(await hash(await buffer(req), delay));
  else if (route === 'download') download().pipe(res);
  else if (route === 'events') eventStream().pipe(res.setHeader('content-type', 'text/event-stream'));
  else res.writeHead(404).end();
}

export default createServer(listener);
