/** uvicorn with its own workers, uvloop and httptools: FastAPI, and an app without a framework. */
import type { Server } from '../model.ts';
import { isNotInstalled, named, pythonVersionOf } from '../peers/installed.ts';
import { apps, startPython } from './own-python.ts';

const version = pythonVersionOf('uvicorn');
/** Older ones, which have no signal for it, would end. */
const canReload = version !== undefined && version.localeCompare('0.30', 'en', { numeric: true }) >= 0;

const withFastapi = uvicorn({
  id: 'uvicorn-fastapi',
  title: `${named('uvicorn', version)}, ${named('FastAPI', pythonVersionOf('fastapi'))}`,
  app: 'fastapi_app:app',
  needs: ['fastapi'],
});

const withoutFramework = uvicorn({
  id: 'uvicorn-asgi',
  title: `${named('uvicorn', version)}, no framework`,
  app: 'asgi_app:app',
  needs: [],
});

interface Kind extends Pick<Server, 'id' | 'title'> {
  app: string;
  /** Python packages. */
  needs: readonly string[];
}

function uvicorn({ app, needs, ...kind }: Kind): Server {
  return {
    ...kind,
    note: 'uvloop, httptools',
    endpoints: ['unix', 'tcp'],
    missing() {
      const absent = ['uvicorn', 'uvloop', 'httptools', ...needs].find((name) => !pythonVersionOf(name));
      return absent && isNotInstalled(absent);
    },
    async start(site) {
      const { endpoint, workers } = site;
      const where =
        endpoint.kind === 'unix'
          ? ['--uds', endpoint.path]
          : ['--host', '127.0.0.1', '--port', String(endpoint.port)];
      const { reload, ...running } = await startPython(
        site,
        [
          'uvicorn',
          ...where,
          `--workers=${workers}`,
          '--loop=uvloop',
          '--http=httptools',
          '--no-access-log',
          '--timeout-keep-alive=75',
          `--app-dir=${apps}`,
          app,
        ],
        /Application startup complete/,
      );
      // One worker has no master.
      return workers > 1 && canReload ? { ...running, reload } : running;
    },
  };
}

export const servers: readonly Server[] = [withFastapi, withoutFramework];
