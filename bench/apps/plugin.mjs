/** The Fastify app with the two parameters that fastify-cli wants of a plugin. */
import workloads from './fastify.mjs';

export default async (app, _options) => workloads(app);
