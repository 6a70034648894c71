/**
 * The rules of the design about who may know whom.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../src', import.meta.url));
const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .sort();
const source = (file: string) => readFileSync(join(root, file), 'utf8');
const code = (file: string) => source(file).replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');

/** What a file imports: files of ours by their path below src, all others by their name. */
function imports(file: string): string[] {
  const found = code(file).matchAll(/(?:\bfrom|\bimport|\bimport\(|\brequire\()\s*'([^']+)'/g);
  return [...found].map(([, name]) =>
    name!.startsWith('.') ? normalize(join(dirname(file), name!)) : name!,
  );
}

const layer = (file: string) => (file.includes('/') ? dirname(file) : file);
const pure = [
  ...['arbiter/plan.ts', 'arbiter/state.ts', 'arbiter/limits.ts', 'arbiter/supervision.ts'],
  ...[
    'address.ts',
    'socket-activation.ts',
    'nginx.ts',
    'commands.ts',
    'events.ts',
    'heap.ts',
    'status.ts',
    'status-table.ts',
  ],
];
const isPure = (file: string) => pure.includes(file) || file.startsWith('config/');

/** Which of our files and folders each may import; `config`'s is for its types. */
const allowed: Record<string, string[]> = {
  'cli.ts': [
    'config',
    'app-file.ts',
    'arbiter',
    'commands.ts',
    'configuration.ts',
    'early-signals.ts',
    'operate.ts',
    'errors.ts',
    'launch.ts',
    'places.ts',
    'log.ts',
    'machine.ts',
    'socket-activation.ts',
  ],
  'operate.ts': [
    'config',
    'arbiter',
    'commands.ts',
    'control-client.ts',
    'errors.ts',
    'status.ts',
    'status-table.ts',
  ],
  'configuration.ts': ['config', 'config-file.ts', 'address.ts', 'errors.ts', 'status.ts'],
  'launch.ts': [
    'config',
    'app-file.ts',
    'compile-cache.ts',
    'errors.ts',
    'heap.ts',
    'places.ts',
    'typescript.ts',
    'worker-env.ts',
  ],
  'compile-cache.ts': ['upwards.ts'],
  'typescript.ts': ['errors.ts', 'upwards.ts'],
  'upwards.ts': [],
  'worker-env.ts': ['config', 'errors.ts'],
  'config-file.ts': ['config', 'config-process.ts', 'errors.ts', 'events.ts', 'start-error.ts'],
  'config-process.ts': [],
  'start-error.ts': ['errors.ts'],
  'control-client.ts': ['commands.ts', 'errors.ts', 'http.ts'],
  'http.ts': [],
  'places.ts': [],
  'early-signals.ts': ['commands.ts', 'inspector.ts'],
  'inspector.ts': [],
  'status.ts': ['config', 'protocol.ts'],
  'status-table.ts': ['status.ts'],
  'index.ts': ['config', 'address.ts', 'events.ts', 'trust-proxy.ts'],
  'events.ts': ['protocol.ts'],
  hooks: ['events.ts'],
  'socket-activation.ts': ['address.ts'],
  'demo.ts': [],
  'app-file.ts': ['errors.ts', 'protocol.ts'],
  config: ['config', 'address.ts', 'commands.ts', 'errors.ts', 'events.ts', 'protocol.ts'],
  arbiter: [
    'arbiter',
    'config',
    'launch.ts',
    'places.ts',
    'config-process.ts',
    'events.ts',
    'protocol.ts',
    'log.ts',
    'address.ts',
    'commands.ts',
    'errors.ts',
    'inode.ts',
    'timing.ts',
    'status.ts',
    'control-client.ts',
    'http.ts',
    'start-error.ts',
  ],
  worker: [
    'worker',
    'config',
    'app-file.ts',
    'http.ts',
    'protocol.ts',
    'log.ts',
    'line-buffer.ts',
    'address.ts',
    'errors.ts',
    'inode.ts',
    'inspector.ts',
    'timing.ts',
    'trust-proxy.ts',
    'upwards.ts',
  ],
  'protocol.ts': ['address.ts', 'config', 'inode.ts'],
  'log.ts': ['config', 'line-buffer.ts', 'log-file.ts'],
  'log-file.ts': ['errors.ts', 'line-writer.ts'],
  'line-buffer.ts': ['line-writer.ts'],
  'line-writer.ts': ['errors.ts'],
  'machine.ts': ['config'],
  'nginx.ts': ['config', 'timing.ts', 'address.ts'],
  'inode.ts': ['errors.ts'],
};

describe('imports', () => {
  it('are found, so that the rules below mean something', () => {
    assert(files.length > 20);
    assert(imports('cli.ts').includes('arbiter/arbiter.ts'));
    assert(imports('arbiter/server-handle.ts').includes('node:net'));
  });

  for (const file of files) {
    it(`of ${file} point one way`, () => {
      const ours = imports(file).filter((name) => name.endsWith('.ts'));
      const wrong = ours.filter((name) => !(allowed[layer(file)] ?? []).includes(layer(name)));
      assert.deepEqual(wrong, []);
    });
  }

  it('of config into arbiter and worker are of its types only', () => {
    for (const file of files.filter((one) => /^(arbiter|worker)\//.test(one))) {
      const values = code(file).matchAll(/import (?!type)[^;]*from '[^']*config\/[^']*'/g);
      assert.deepEqual([...values].map(String), [], file);
    }
  });

  it('of arbiter and worker never reach each other', () => {
    for (const file of files) {
      const other = { arbiter: 'worker/', worker: 'arbiter/' }[layer(file)];
      if (other) assert(!imports(file).some((name) => name.startsWith(other)), file);
    }
  });

  for (const file of files.filter(isPure)) {
    it(`of ${file} have no effects: no files, sockets, processes`, () => {
      const builtins = imports(file).filter((name) => name.startsWith('node:'));
      assert.deepEqual(
        builtins.filter((name) => name !== 'node:util'),
        [],
      );
      for (const name of imports(file).filter((one) => one.endsWith('.ts'))) {
        assert(isPure(name) || ['errors.ts', 'timing.ts', 'protocol.ts'].includes(name), name);
      }
      assert.doesNotMatch(code(file), /\bprocess\./);
    });
  }
});

describe('only', () => {
  const users = (what: RegExp) => files.filter((file) => what.test(code(file)));

  it('cli.ts reads the environment and sets the exit code', () => {
    assert.deepEqual(users(/process\.env\b/), ['cli.ts']);
    assert.deepEqual(users(/process\.exitCode\b/), ['cli.ts']);
  });

  it('http.ts loads node:http, since an import of it costs every worker 50 ms of its start', () => {
    assert.deepEqual(users(/import (?!type)[^;]*'node:https?'|import\('node:https?'\)/), []);
    assert.deepEqual(users(/getBuiltinModule\('(node:)?https?'\)/), ['http.ts']);
  });

  it('these load a module of Node itself late, since its import would be in the way of every start', () => {
    assert.deepEqual(users(/getBuiltinModule/), [
      'arbiter/socket-path.ts',
      'arbiter/tls-identity.ts',
      'arbiter/worker-handle.ts',
      'http.ts',
      'inspector.ts',
      'launch.ts',
      'worker/idle-memory.ts',
      'worker/v8-tuning.ts',
    ]);
  });

  it('places.ts knows where our files are, which the build changes', () => {
    const others = users(/new URL\([^)]*import\.meta/);
    assert.deepEqual(others, ['places.ts']);
  });

  it('server-handle.ts touches a private handle of node:net', () => {
    assert.deepEqual(users(/_createServerHandle|\._handle\b|process\.binding/), ['arbiter/server-handle.ts']);
  });
});

describe('each file', () => {
  for (const file of files) {
    it(`${file} says at its top what it is for`, () => {
      assert.match(source(file), /^(#!.*\n)?\/\*\*\n \* \S/);
    });
  }
});
