// Ids and clients of requests in ways of its own, by OWN: an option of that name, or `part` for a part of the app.
let count = 0;
const own = () => `mine-${++count}`;
const all = { genReqId: own, requestIdHeader: 'x-my-id', trustProxy: false };
const { OWN } = process.env;

export const options = OWN in all ? { [OWN]: all[OWN] } : {};

const identity = async ({ id, ip }) => ({ id, ip });

export default async function ownIdentity(app) {
  app.addHook('onRequest', async ({ id, ip, url }, reply) => {
    if (url.startsWith('/part/refused')) return reply.code(401).send({ id, ip });
  });
  app.get('/', identity);
  app.register(async (part) => {
    part.get('/before', identity);
    if (OWN === 'part') part.setGenReqId(own);
    part.get('/part', identity);
    part.get('/part/refused', identity);
    part.register(async (inner) => inner.get('/part/inner', identity));
  });
}
