// A plugin in CommonJS, with a callback and with options.
module.exports = (app, _opts, done) => {
  app.get('/', async () => 'commonjs');
  app.post('/', async (request) => request.body);
  done();
};
module.exports.options = { bodyLimit: 10 };
