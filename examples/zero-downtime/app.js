// Change the answer, run ./deploy.sh, and watch it change.
export default async function app(fastify) {
  fastify.get('/', async () => 'version 1\n');
}
