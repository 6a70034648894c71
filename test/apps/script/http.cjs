// A script that listens by itself, in the way that LISTEN says. Its answers say what it was told, or are what
// test/support/load.ts asks and checks.
const { createHash } = require('node:crypto');
const { existsSync } = require('node:fs');
const { createServer } = require('node:http');
const { buffer } = require('node:stream/consumers');

const { LISTEN = '3000', CLEANUP, CLOSES_IF } = process.env;
const about = { argv: process.argv.slice(2), isMain: require.main === module };

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  const delay = Number(searchParams.get('delay') ?? 0);
  const answer = await answerTo(request, pathname);
  setTimeout(() => response.end(answer), delay);
});

async function answerTo(request, path) {
  if (path.startsWith('/token/')) return `token ${path.slice('/token/'.length)}`;
  if (path === '/hash')
    return createHash('sha256')
      .update(await buffer(request))
      .digest('hex');
  if (path === '/slow') console.error('slow begins');
  if (path === '/close') server.close();
  return JSON.stringify({ address: server.address(), pid: process.pid, ...about });
}

const onListening = () => {
  about.heard = server.listening;
  if (CLOSES_IF && existsSync(CLOSES_IF)) server.close();
};
const ways = {
  3000: () => server.listen(3000, onListening),
  text: () => server.listen('3000', '127.0.0.1', onListening),
  localhost: () => server.listen({ port: 3000, host: 'localhost' }, onListening),
  any: () => server.listen(onListening),
  path: () => server.listen('/nowhere/at/all.sock', onListening),
  'no path': () => server.listen({ path: false, port: 3000 }, onListening),
  'no port': () => server.listen({ path: '', port: undefined, host: '127.0.0.1' }, onListening),
  fd: () => server.listen({ fd: 42 }, onListening),
  later: () => setTimeout(() => server.listen(3000, onListening), 200),
  never: () => {},
};
ways[LISTEN]();

if (CLEANUP) {
  for (const signal of ['SIGTERM', 'SIGINT'])
    process.once(signal, () => {
      console.error(`${signal}: cleaning up`);
      server.close((error) => {
        console.error(`closed ${error ?? 'well'}`);
        process.exit();
      });
    });
}
