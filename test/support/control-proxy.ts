/**
 * Stands between two servers that speak over a control socket, so that a test can act at any step of their talk.
 */
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { PassThrough } from 'node:stream';
import type { TestContext } from 'node:test';

/** `before POST /yield`: it has been asked, and not heard; `after POST /yield`: it was answered, and nobody heard it. */
export type Step = `${'before' | 'after'} ${string}`;

/**
 * Listens at `path` and passes on to the control socket at `target`.
 *
 * @param at called at each step; what it returns is awaited. False ends the connection there.
 */
export async function controlProxy(
  t: TestContext,
  path: string,
  target: string,
  at: (step: Step) => unknown,
): Promise<void> {
  const proxy = createServer(async (incoming, response) => {
    const { method, url } = incoming;
    if ((await at(`before ${method} ${url}`)) === false) return response.destroy();
    const onward = request({ socketPath: target, method, path: url, agent: false });
    onward.on('error', () => response.destroy());
    onward.on('response', async (answer) => {
      // What has been said by now counts, also if its server dies during this step.
      const said = answer.pipe(new PassThrough());
      answer.on('error', () => said.end());
      if ((await at(`after ${method} ${url}`)) === false) return response.destroy();
      response.writeHead(answer.statusCode!, answer.headers);
      said.pipe(response);
    });
    response.on('close', () => onward.destroy());
    onward.end();
  });
  proxy.listen(path);
  await once(proxy, 'listening');
  t.after(() => {
    proxy.close();
    proxy.closeAllConnections();
  });
}
