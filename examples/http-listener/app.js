// What http.createServer() takes: fasticorn --app-type listener app.js
import { json } from 'node:stream/consumers';

export default async function listener(req, res) {
  try {
    const name = /^\/hello\/(\w+)$/.exec(req.url)?.[1];
    if (req.method === 'GET' && name) answer(res, 200, { hello: name });
    else if (req.method === 'POST' && req.url === '/echo') answer(res, 200, await json(req));
    else answer(res, 404, { error: 'not found' });
  } catch (error) {
    answer(res, 400, { error: error.message });
  }
}

function answer(res, status, body) {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
