/**
 * The loggers that Fastify makes for requests: they cost nothing until they write, and then write what pino's own would.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { deferRequestLoggers } from '../src/worker/request-loggers.ts';

/** Two loggers alike, of which the second has been treated, and the lines of each without their times. */
function twins() {
  const lines: [unknown[], unknown[]] = [[], []];
  const make = (index: 0 | 1) =>
    pino(
      { base: { pid: 1 }, serializers: { user: (name: string) => name.toUpperCase() } },
      {
        write(line) {
          const { time: _, ...rest } = JSON.parse(line) as Record<string, unknown>;
          lines[index].push(rest);
        },
      },
    );
  const loggers = [make(0), make(1)] as const;
  deferRequestLoggers(loggers[1]);
  return { loggers, lines };
}

/** Does the same with both, which then have to have written the same. */
function same(use: (logger: pino.Logger) => void, count: number): void {
  const { loggers, lines } = twins();
  for (const logger of loggers) use(logger);
  assert.equal(lines[0].length, count);
  assert.deepEqual(lines[1], lines[0]);
}

describe("A request's logger", () => {
  it('writes its id, and what its parents have', () => {
    same((root) => {
      const app = root.child({ app: 'shop' }, { serializers: { req: () => 'a request' } });
      const request = app.child({ reqId: 'r-1' }, {});
      request.info({ user: 'ada', req: {} }, 'one');
      request.warn('two');
      assert.deepEqual(request.bindings(), { ...app.bindings(), reqId: 'r-1' });
    }, 2);
  });

  it('is one of its own, whatever others there are', () => {
    same((root) => {
      const [one, other] = [root.child({ reqId: 'r-1' }, {}), root.child({ reqId: 'r-2' }, {})];
      other.info('other');
      one.info('one');
      one.setBindings({ more: true });
      one.info('more');
      other.info('other');
    }, 4);
  });

  it('has children, with options and without', () => {
    same((root) => {
      const request = root.child({ reqId: 'r-1' }, {});
      request.child({ step: 1 }).info('one');
      request.child({ step: 2 }, {}).info('two');
      request.child({ step: 3 }, { level: 'error' }).info('nobody hears');
      request.child({ step: 4 }, { msgPrefix: '> ' }).info('four');
      request.info('itself');
    }, 4);
  });

  it('follows the level of the app, also if that is changed while it lives', () => {
    same((root) => {
      const request = root.child({ reqId: 'r-1' }, {});
      request.debug('nobody hears');
      root.level = 'debug';
      request.debug('now');
      assert.equal(request.isLevelEnabled('trace'), false);
    }, 1);
  });

  it("has the level or serializers of its route, and Fastify 4's empty level is none", () => {
    same((root) => {
      root.child({ reqId: 'r-1' }, { level: 'error' }).info('nobody hears');
      root
        .child({ reqId: 'r-2' }, { serializers: { user: () => 'someone' } })
        .info({ user: 'ada' }, 'a user');
      root.child({ reqId: 'r-3' }, { level: '' }).info('inherits');
    }, 2);
  });

  it('says what the app has given it at that time, if it is the app that makes it', () => {
    same((root) => {
      const bindings = { step: 1 };
      const own = root.child(bindings);
      bindings.step = 2;
      own.info('one');
    }, 1);
  });

  it('has other bindings than an id at once, and none is refused as by pino', () => {
    same((root) => {
      const bindings = { reqId: 'r-1', step: 1 };
      const one = root.child(bindings, {});
      bindings.step = 2;
      one.info('one');
      assert.throws(() => root.child(undefined as never, {}), /missing bindings/);
    }, 1);
  });

  it('is told of to who wants to hear of children', () => {
    same((root) => {
      let children = 0;
      root.onChild = () => {
        children++;
      };
      root.child({ reqId: 'r-1' }, {}).info('one');
      assert.equal(children, 1);
    }, 1);
  });
});
