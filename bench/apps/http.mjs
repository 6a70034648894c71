/** Every workload as a bare listener of `node:http`: the least that Node can do with a request. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { chunks, few, hello, many, wait, workNowAndThen } from './work.mjs';

const routes = {
  'GET /': (_request, response) => json(response, hello),
  'GET /json/1k': (_request, response) => json(response, few),
  'GET /json/100k': (_request, response) => json(response, many),
  'POST /upload': async (request, response) => {
    const body = [];
    for await (const part of request) body.push(part);
    json(response, { bytes: Buffer.concat(body).length });
  },
  'GET /download': (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    return pipeline(Readable.from(chunks(), { objectMode: false }), response);
  },
  'GET /wait': async (_request, response) => {
    await wait();
    json(response, hello);
  },
  'GET /mixed': (_request, response) => {
    workNowAndThen();
    json(response, hello);
  },
  'GET /pid': (_request, response) => json(response, { pid: process.pid }),
};

export default async function listener(request, response) {
  const route = routes[`${request.method} ${request.url}`];
  try {
    if (route) await route(request, response);
    else response.writeHead(404).end();
  } catch {
    // The client has gone.
    response.destroy();
  }
}

function json(response, value) {
  const body = JSON.stringify(value);
  response
    .writeHead(200, {
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.byteLength(body),
    })
    .end(body);
}
