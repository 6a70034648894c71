/**
 * Runs the bundled nginx/nginx.conf with its port and paths rewritten, and nothing else; the one exception is
 * `connection: 'close'`. Another file may stand in its place. The caller gives it a socket that nginx's workers may
 * reach (they run as another user when the tests run as root).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { accepts, freePort } from './port.ts';

const bundled = new URL('../../nginx/nginx.conf', import.meta.url);

export interface Nginx {
  port: number;
  /** `http://127.0.0.1:PORT`, without a slash at the end. */
  url: string;
  /** What nginx has written to its error log so far; also after `stop`. */
  errorLog(): Promise<string>;
  /** Ends nginx and removes its files. */
  stop(): Promise<void>;
}

export interface NginxOptions {
  /** Path of the Unix socket that stands for /tmp/app.sock. */
  socket: string;
  /** Whether nginx keeps a pool of connections, as bundled, or opens one for each request. */
  connection?: 'pool' | 'close';
  /** In place of the bundled file: a text with the same port and paths. */
  conf?: string;
  /** What runs nginx, before its arguments; by default the one in PATH. */
  command?: readonly [string, ...string[]];
}

/** Starts nginx and waits until it accepts connections. */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  const { socket, connection = 'pool', command = ['nginx'] } = options;
  const [program, ...first] = command;
  const directory = await mkdtemp(join(tmpdir(), 'nginx-'));
  await chmod(directory, 0o755);
  const port = await freePort();
  const file = join(directory, 'nginx.conf');
  const { conf = await readFile(bundled, 'utf8') } = options;
  await writeFile(file, rewrite(conf, { directory, port, socket, connection }));

  const errors = join(directory, 'error.log');
  const nginx = spawn(program, [...first, '-e', errors, '-c', file, '-g', 'daemon off;'], {
    stdio: 'ignore',
  });
  const exited = once(nginx, 'exit');
  const end = () => nginx.kill('SIGTERM');
  process.once('exit', end);

  let lastErrors: string | undefined;
  const errorLog = async () => lastErrors ?? (await readFile(errors, 'utf8'));
  const stop = async () => {
    end();
    await exited;
    process.off('exit', end);
    lastErrors ??= await errorLog();
    await rm(directory, { recursive: true, force: true });
  };

  const runs = () => nginx.exitCode === null && nginx.signalCode === null;
  while (runs() && !(await accepts(port))) await sleep(20);
  if (!runs()) {
    await stop();
    throw new Error(`nginx did not start: ${lastErrors}`);
  }
  return { port, url: `http://127.0.0.1:${port}`, errorLog, stop };
}

function rewrite(
  text: string,
  to: { directory: string; port: number; socket: string; connection: string },
): string {
  const replace = (from: string | RegExp, by: string) => {
    const result = text.replaceAll(from, by);
    if (result === text) throw new Error(`nginx.conf has no ${from}`);
    text = result;
  };
  replace('listen 80 ', `listen 127.0.0.1:${to.port} `);
  replace('unix:/tmp/app.sock', `unix:${to.socket}`);
  replace('/run/nginx.pid', `${to.directory}/nginx.pid`);
  replace('/var/log/nginx/', `${to.directory}/`);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  replace(
    'http {\n',
    `http {\n${temporary.map((name) => `${name}_temp_path ${to.directory}/${name};\n`).join('')}`,
  );
  if (to.connection === 'close') {
    replace(/^ *keepalive .*\n/gm, '');
    replace("default '';\n    websocket upgrade;", 'default close;\n    websocket upgrade;');
  }
  return text;
}
