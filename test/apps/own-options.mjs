// Options of its own, for everything that the server would set otherwise.
let count = 0;

export const options = {
  trustProxy: '192.0.2.1',
  genReqId: () => `mine-${++count}`,
  logger: { level: 'warn', file: process.env.OWN_LOG },
};

export default async function ownOptions(app) {
  app.get('/', async (request) => {
    request.log.warn('said by the app');
    app.log.info('below the level of the app');
    return { ip: request.ip, id: request.id };
  });
}
