// As Hono and the like export it.
class FetchApp {
  fetch = () => new Response('hello');
}

export const app = new FetchApp();
export default { fetch: app.fetch };
