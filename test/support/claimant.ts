/**
 * A process that binds a path and publishes it when it is told to, without the time that an app takes to boot in
 * between: so that many can do it in the same instant.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { type Listener, openListeners } from '../../src/arbiter/listener.ts';

const silent = { onRestored() {}, onForeign() {}, onLost() {} };
let listener: Listener | undefined;

const steps = {
  async bind(path: string) {
    const settings = {
      socketMode: 0o666,
      socketGroup: undefined,
      takeover: false,
      reusePort: false,
      user: undefined,
      group: undefined,
    };
    [listener] = await openListeners({ bind: [{ kind: 'unix', path }], ...settings }, silent);
    await once(createServer().listen({ fd: listener!.fd }), 'listening');
    return 'bound';
  },
  async publish() {
    return listener!.publish().then(
      () => 'won',
      (error: Error) => `${error.name}: ${error.message}`,
    );
  },
  async withdraw() {
    listener!.withdraw();
    return 'withdrawn';
  },
};

process.on('message', async ([step, path]: [keyof typeof steps, string]) => {
  process.send?.(await steps[step](path));
});
