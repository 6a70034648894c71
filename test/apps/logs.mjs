// Logs as apps do, in and out of requests.
export default async function logs(app) {
  app.log.warn({ cpu: 'x86' }, 'said while it was loading');
  app.get('/', async (request) => {
    request.log.debug('a detail');
    request.log.info({ user: 'ada' }, 'said in a request');
    request.log.error('not good');
    return 'hello';
  });
  app.get('/boom', async () => {
    throw new RangeError('too far\u001b[2J');
  });
  app.get('/torn', async (_request, reply) => {
    reply.raw.emit('error', new RangeError('torn'));
    return 'hello';
  });
  app.get('/odd', async (request) => {
    request.log.error({ err: null, req: 'text' }, 'odd fields');
    request.log.error({ err: 'just text', req: {}, res: {} }, 'odd fields');
    return 'odd';
  });
}
