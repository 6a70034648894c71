// A Fastify plugin by fastify-cli's conventions: fasticorn app.js -- --greeting hello

/** Fastify's own options; the plugin gets them too, below those given after `--`. */
export const options = { bodyLimit: 64 * 1024, greeting: 'hi' };

export default async function app(fastify, opts) {
  fastify.get('/hello/:name', async (request) => ({ [opts.greeting]: request.params.name }));

  fastify.post('/echo', async (request) => request.body);

  fastify.addHook('onClose', async () => fastify.log.info('closing: the place to end pools'));
}
