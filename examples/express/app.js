// An Express app as the default export: fasticorn app.js
import express from 'express';

const app = express();

app.use(express.json());

app.get('/hello/:name', (req, res) => {
  res.json({ hello: req.params.name });
});

app.post('/echo', (req, res) => {
  res.json(req.body);
});

export default app;
