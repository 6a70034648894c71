// tRPC's own HTTP server: fasticorn app.js
import { initTRPC } from '@trpc/server';
import { createHTTPServer } from '@trpc/server/adapters/standalone';

const { procedure, router } = initTRPC.create();

/** Stands for a validator such as zod's `z.string()`. */
const string = (input) => String(input);

const appRouter = router({
  hello: procedure.input(string).query(({ input }) => ({ hello: input })),
  echo: procedure.input((input) => input).mutation(({ input }) => input),
});

export default createHTTPServer({ router: appRouter });
