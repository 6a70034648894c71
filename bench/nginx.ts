/**
 * nginx as the benchmark runs it: in the foreground, as this user, with all its files in a directory of its own. What it
 * serves, others say: it is the proxy between the load and the servers, and one of the servers.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Launched, launch, untilSaid } from './launch.ts';

/** What `nginx -v` says, such as `1.22.1`; undefined if there is none. */
export function nginxVersion(): string | undefined {
  const { stderr } = spawnSync('nginx', ['-v'], { encoding: 'utf8' });
  return /nginx\/([\d.]+)/.exec(stderr ?? '')?.[1];
}

export interface NginxOptions {
  /** What the `http` block has besides. */
  http: string;
  workers: number;
  cpus: readonly number[];
  directory: string;
}

/** Starts it; resolves once it listens. */
export async function startNginx({ http, workers, cpus, directory }: NginxOptions): Promise<Launched> {
  const [config, log] = [join(directory, 'nginx.conf'), join(directory, 'log')];
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${directory}/${kind};`,
  );
  writeFileSync(
    config,
    `daemon off; worker_processes ${workers}; worker_rlimit_nofile 20000;
# Workers of another user could not connect to the sockets of the servers.
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${directory}/pid; error_log ${log} notice;
events { worker_connections 8192; }
http {
  access_log off; ${temporary.join(' ')}
  # Connections of clients are kept as long as clients want.
  keepalive_requests 1000000000;
${http}
}
`,
  );
  const launched = launch('nginx', ['-p', directory, '-c', config, '-e', log], { cpus, log });
  // By then it listens.
  await untilSaid(launched, /start worker process \d+/, { count: workers, seconds: 10 });
  return launched;
}
