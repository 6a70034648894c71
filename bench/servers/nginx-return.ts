/** nginx that answers by itself: no app is quicker, so that it shows what the load generator and the proxy can do. */
import { untilAnswers } from '../launch.ts';
import type { Server } from '../model.ts';
import { nginxVersion, startNginx } from '../nginx.ts';
import { hello } from '../workloads/hello.ts';

const nginxReturn: Server = {
  id: 'nginx-return',
  title: 'nginx, return 200',
  note: 'no app; answers hello only',
  endpoints: ['unix', 'tcp'],
  missing: () => (nginxVersion() ? undefined : 'nginx is not installed'),
  async start({ endpoint, workers, directory, cpus }) {
    const listen = endpoint.kind === 'unix' ? `unix:${endpoint.path}` : `127.0.0.1:${endpoint.port}`;
    const http = `  server {
    listen ${listen} backlog=2048;
    default_type ${hello.answer.type};
    location = ${hello.path} { return 200 '${hello.answer.body}'; }
  }`;
    const launched = await startNginx({ http, workers, cpus, directory });
    await untilAnswers(endpoint, launched, 10);
    return {
      processes: () => [
        { pid: launched.pid, role: 'arbiter' },
        ...launched.descendants().map((pid) => ({ pid, role: 'worker' as const })),
      ],
      stop: () => launched.stop(),
    };
  },
};

export const servers: readonly Server[] = [nginxReturn];
