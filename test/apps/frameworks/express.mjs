// Express 5.
import express from 'express';
import { download, eventStream, hash, token } from './answers.mjs';

const app = express();
app.get('/token/:token', async (req, res) => {
  res.send(await token(req.params.token, req.query.delay));
});
app.post('/hash', express.raw(), async (req, res) => {
  res.send(await hash(req.body, req.query.delay));
});
app.get('/download', (_req, res) => {
  download().pipe(res.type('application/octet-stream'));
});
app.get('/events', (_req, res) => {
  eventStream().pipe(res.type('text/event-stream'));
});

export default app;
