// tRPC 11 on its standalone server.

import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { initTRPC } from '@trpc/server';
import { createHTTPServer } from '@trpc/server/adapters/standalone';
import { octetInputParser } from '@trpc/server/http';
import { events, hash, token } from './answers.mjs';

const { procedure, router } = initTRPC.create();

const appRouter = router({
  token: procedure.input((input) => input).query(({ input }) => token(input.token, input.delay)),
  hash: procedure
    .input(octetInputParser)
    .mutation(async ({ input }) => hash(await buffer(Readable.fromWeb(input)))),
  events: procedure.subscription(events),
});

export default createHTTPServer({ router: appRouter });
