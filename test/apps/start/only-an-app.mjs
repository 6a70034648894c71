// An app as the only export of its module.
import Fastify from 'fastify';

export default Fastify();
