// Cannot be loaded, in the way that HOW names.
const { HOW } = process.env;

function brokenHere() {
  throw new Error(`broken: ${HOW}`);
}

function spin() {
  for (;;);
}

if (HOW === 'import') brokenHere();
if (HOW === 'killed') process.kill(process.pid, 'SIGKILL');
if (HOW === 'endless loop') spin();
if (HOW === 'exit') process.exit(0);
if (HOW === 'endless import') await new Promise(() => {});

// An app that is large counts against the same limit.
if (HOW === 'endless plugin') for (const end = performance.now() + 1500; performance.now() < end; );

export default async function fails(app) {
  if (HOW === 'plugin') brokenHere();
  if (HOW === 'ready hook') app.addHook('onReady', async () => brokenHere());
  if (HOW === 'later') setImmediate(brokenHere);
  if (HOW === 'endless plugin' || HOW === 'later') await new Promise(() => {});
}
