/**
 * Gunicorn, which fasticorn is modelled on: Flask in threads, and FastAPI on its own worker for ASGI and on that of
 * uvicorn.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Server } from '../model.ts';
import { hasPythonFile, isNotInstalled, named, pythonVersionOf } from '../peers/installed.ts';
import { apps, startPython } from './own-python.ts';

const version = pythonVersionOf('gunicorn');
const fastapi = named('FastAPI', pythonVersionOf('fastapi'));

const flask = gunicorn({
  id: 'gunicorn-flask',
  title: `${named('Gunicorn', version)} gthread, ${named('Flask', pythonVersionOf('flask'))}`,
  note: '4 threads a worker',
  app: 'flask_app:app',
  options: ['--worker-class', 'gthread', '--threads', '4'],
  needs: ['flask'],
  ready: /\[INFO\] app loaded/,
});

const asgi = gunicorn({
  id: 'gunicorn-asgi',
  title: `${named('Gunicorn', version)} asgi, ${fastapi}`,
  note: 'uvloop; HTTP parsed in Python, as Debian has no gunicorn_h1c',
  app: 'fastapi_app:app',
  options: ['--worker-class', 'asgi', '--asgi-loop', 'uvloop'],
  needs: ['fastapi', 'uvloop'],
  ready: /ASGI server listening/,
  file: 'gunicorn/workers/gasgi.py',
});

const uvicornWorker = gunicorn({
  id: 'gunicorn-uvicorn',
  title: `${named('Gunicorn', version)} with uvicorn's worker, ${fastapi}`,
  note: 'uvloop, httptools',
  app: 'fastapi_app:app',
  options: ['--worker-class', 'uvicorn.workers.UvicornWorker'],
  needs: ['fastapi', 'uvicorn', 'uvloop', 'httptools'],
  ready: /Application startup complete/,
  file: 'uvicorn/workers.py',
});

interface Kind extends Pick<Server, 'id' | 'title' | 'note'> {
  app: string;
  options: readonly string[];
  /** Python packages. */
  needs: readonly string[];
  /** What each worker says once it serves. */
  ready: RegExp;
  /** A file that only some versions have. */
  file?: string;
}

function gunicorn({ app, options, needs, ready, file, ...kind }: Kind): Server {
  return {
    ...kind,
    endpoints: ['unix', 'tcp'],
    missing() {
      const absent = ['gunicorn', ...needs].find((name) => !pythonVersionOf(name));
      if (absent) return isNotInstalled(absent);
      return file && !hasPythonFile(file) ? `Gunicorn ${version} has no ${file}` : undefined;
    },
    async start(site) {
      const { endpoint, workers, directory } = site;
      const bind = endpoint.kind === 'unix' ? `unix:${endpoint.path}` : `127.0.0.1:${endpoint.port}`;
      const config = join(directory, 'config.py');
      writeFileSync(config, configuration(directory));
      return startPython(
        site,
        [
          'gunicorn',
          `--config=${config}`,
          `--bind=${bind}`,
          `--workers=${workers}`,
          // The access log is off unless asked for; connections are kept as long as by the others.
          '--keep-alive=75',
          `--pythonpath=${apps}`,
          ...options,
          app,
        ],
        ready,
      );
    },
  };
}

/** What there are no options for, in Python; a setting that a version does not know is none. */
const configuration = (directory: string) => `
control_socket = ${JSON.stringify(join(directory, 'control'))}

def post_worker_init(worker):
    worker.log.info("app loaded")
`;

export const servers: readonly Server[] = [flask, asgi, uvicornWorker];
