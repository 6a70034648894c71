/**
 * nginx between the load generator and the servers: one of them for all, on the CPUs of the load, with a port for each
 * server and each way to reach it. The upstreams are as in `src/nginx.ts`, but for its second attempts: a request that
 * a server loses is lost.
 */
import type { Launched } from '../launch.ts';
import type { Endpoint, Path } from '../model.ts';
import { startNginx } from '../nginx.ts';

/** A port of nginx, and where it leads to. */
export interface Front {
  port: number;
  path: Extract<Path, `nginx-${string}`>;
  server: Endpoint;
}

/** Starts it with all fronts. Resolves once it listens; whether the servers behind it answer is not asked. */
export function startProxy(
  fronts: readonly Front[],
  place: { cpus: readonly number[]; directory: string },
): Promise<Launched> {
  const http = `  client_max_body_size 64m; client_body_buffer_size 2m;
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
  proxy_buffer_size 16k; proxy_buffers 16 16k; proxy_max_temp_file_size 0;
  proxy_next_upstream off;
${fronts.map(block).join('\n')}`;
  return startNginx({ http, workers: 1, ...place });
}

function block({ port, path, server }: Front): string {
  const address = server.kind === 'unix' ? `unix:${server.path}` : `127.0.0.1:${server.port}`;
  const isPool = path === 'nginx-keepalive';
  const pool = isPool ? 'keepalive 64; keepalive_timeout 4s;' : '';
  // Otherwise as nginx is without being told: HTTP/1.0, and "Connection: close".
  const again = isPool ? "proxy_http_version 1.1; proxy_set_header Connection '';" : '';
  return `  upstream app_${port} { server ${address} fail_timeout=0 max_fails=0; ${pool} }
  server {
    listen 127.0.0.1:${port} backlog=2048;
    location / { proxy_pass http://app_${port}; ${again} }
  }`;
}
