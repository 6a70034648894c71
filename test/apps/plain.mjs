// As little as an app can be.
export default async function plain(app) {
  app.get('/plain', async () => 'plain');
}
