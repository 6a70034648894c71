/** What the benchmark runs on, and the versions of all that takes part: what a reader needs to place its figures. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { h2loadVersion } from './load/h2load.ts';
import type { Results } from './model.ts';
import { nginxVersion } from './nginx.ts';
import { nodeOf, nodeVersion } from './nodes.ts';
import { python, pythonVersionOf, versionOf } from './peers/installed.ts';
import { NODES } from './plan.ts';

export function machine(): Results['machine'] {
  const all = cpus();
  return {
    cpu: all[0]?.model ?? 'unknown CPU',
    cpus: all.length,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    // What a kernel is called beyond its number is the business of who built it.
    system: [distribution(), `${type()} ${release().replace(/-.*/, '')}`].filter(Boolean).join(', '),
  };
}

/** Of everything that is installed. */
export function versions(): Record<string, string> {
  const all: Record<string, string | undefined> = {
    Node: process.versions.node,
    fasticorn: [ownVersion('package.json'), commit()].filter(Boolean).join(' '),
    Fastify: ownVersion('node_modules/fastify/package.json'),
    'fastify-cli': ownVersion('node_modules/fastify-cli/package.json'),
    PM2: versionOf('pm2'),
    Watt: versionOf('wattpm'),
    Python: pythonVersion(),
    Gunicorn: pythonVersionOf('gunicorn'),
    uvicorn: pythonVersionOf('uvicorn'),
    Flask: pythonVersionOf('flask'),
    FastAPI: pythonVersionOf('fastapi'),
    nginx: nginxVersion(),
    h2load: h2loadVersion(),
  };
  for (const major of NODES) {
    const binary = nodeOf(major);
    const version = binary && nodeVersion(binary);
    if (version && version !== all.Node) all[`Node ${major}`] = version;
  }
  return Object.fromEntries(Object.entries(all).filter((pair): pair is [string, string] => Boolean(pair[1])));
}

/** Of the repository, such as `(1a2b3c4)`, or `(1a2b3c4-dirty)` for one with changes; nothing where there is none. */
function commit(): string | undefined {
  const { status, stdout } = spawnSync('git', ['describe', '--always', '--dirty'], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  });
  return status === 0 ? `(${stdout.trim()})` : undefined;
}

/** From a package.json of the repository. */
function ownVersion(file: string): string | undefined {
  const path = join(import.meta.dirname, '..', file);
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).version : undefined;
}

function pythonVersion(): string | undefined {
  const { stdout } = spawnSync(python, ['--version'], { encoding: 'utf8' });
  return /[\d.]+/.exec(stdout ?? '')?.[0];
}

/** Such as `Debian GNU/Linux 12 (bookworm)`. */
function distribution(): string | undefined {
  const file = '/etc/os-release';
  return existsSync(file) ? /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync(file, 'utf8'))?.[1] : undefined;
}
