/**
 * The bundled nginx/nginx.conf as text. Pure: knows which of its numbers and paths are also the server's, and
 * leaves writing the file, and nginx itself, to others.
 */
import type { Address } from './address.ts';
import { settings } from './config/settings.ts';
import { IDLE_GRACE, PROXY_IDLE } from './timing.ts';

/** A whole configuration, for a host (as root) and for the nginx image alike, from nginx 1.22 on. */
export function nginxConf(): string {
  return `# nginx in front of fasticorn: complete, for nginx 1.22 to 1.30.
#   On a host, as root:  nginx -c "$PWD/nginx/nginx.conf"
#   In a container:      mounted as /etc/nginx/nginx.conf
# Left to the build of nginx: the user of its workers and the directory of its temporary files.

# One worker for each CPU.
worker_processes auto;
# Room for the connections below and for temporary files.
worker_rlimit_nofile 16384;
# On a graceful stop or a reload requests in flight may finish for this long; then WebSockets too are closed.
worker_shutdown_timeout 30s;
# Where a distribution's nginx has it, so that only one of them runs.
pid /run/nginx.pid;
# The nginx image links this to standard error.
error_log /var/log/nginx/error.log;

events {
  # Of each worker; a request takes two, the client's and the app's.
  worker_connections 8192;
}

http {
  # The usual "combined" format, then the app's request id, the time in all, and the time in the app
  # (more than one of those: there was no answer, and the request was sent again).
  log_format app '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
                 '"$http_referer" "$http_user_agent" $request_id $request_time $upstream_response_time';
  # The nginx image links this to standard output.
  access_log /var/log/nginx/access.log app;
  # Not everybody needs to know the version.
  server_tokens off;

${indented(2, besideServers())}

  # A client that sends its request's head more slowly than this is let go.
  client_header_timeout 15s;
  # A client that pauses this long while it sends a body is let go.
  client_body_timeout 30s;
  # A client that takes nothing of its answer for this long is let go.
  send_timeout 30s;
  # A connection let go so is reset, which frees its memory at once.
  reset_timedout_connection on;
  # How long a client's unused connection stays open.
  keepalive_timeout 65s;
  # The longest request line and header line; Node refuses more than 16 KiB in all (431).
  large_client_header_buffers 4 8k;
  # The longest body. The app's own limit is usually the stricter (Fastify: 1 MiB, unless told otherwise), and answered with
  # 413 as well; with that limit here nginx answers at once, and passes nothing on.
  client_max_body_size 1g;
  # A body up to this size waits in memory, a longer one in a file.
  client_body_buffer_size 64k;

  server {
    # Every IPv4 address. For IPv6 add a line with [::]:80; without IPv6 in the kernel nginx would not start.
    listen 80 default_server;

${indented(4, HEADERS)}

    # A slow upload is collected here first, and costs the app no time.
    proxy_request_buffering on;
    # A slow download is collected here, as far as the buffers go; a stream of events turns this off for
    # itself with the header "X-Accel-Buffering: no".
    proxy_buffering on;
    # The longest head of an answer, cookies included.
    proxy_buffer_size 16k;
    # What is held of an answer for a slow client: 256k.
    proxy_buffers 16 16k;
    # No more than that, and nothing on disk: a longer answer waits in the app.
    proxy_max_temp_file_size 0;
    # A redirect by the app is already right, since the app sees the client's Host.
    proxy_redirect off;

    # A socket answers at once, also when no worker is free.
    proxy_connect_timeout 5s;
    # The app may pause this long while it takes a body.
    proxy_send_timeout 60s;
    # The app may be silent this long; a WebSocket too, so let it ping more often.
    proxy_read_timeout 120s;

${indented(4, LOCATIONS)}
  }
}

# Nothing is compressed here: only the app knows for which of its answers that is safe (BREACH).
`;
}

/** What of it an nginx that is there already needs, in its `http { … }`: the server block has no `listen` yet. */
export function nginxEssentials(): string {
  return `${besideServers()}

server {
  # Yours: listen, server_name, TLS.

${indented(2, `${HEADERS}\n\n${LOCATIONS}`)}
}`;
}

/** The upstreams, and the maps that the headers are made with. */
function besideServers(): string {
  const { kind, default: bind } = settings.bind;
  const server = `server ${kind.show(bind as Address[])}`;
  return `upstream app_server {
  # fail_timeout=0: a failure never makes nginx turn away from it.
  ${server} fail_timeout=0;
  # Over TCP instead, here and below (fasticorn --bind 127.0.0.1:8000):
  # server 127.0.0.1:8000 fail_timeout=0;

  # How many unused connections each nginx worker keeps for the next requests.
  keepalive 64;
  # Less than the ${IDLE_GRACE} s that a stopping server leaves them open: nginx closes first, no request is lost.
  keepalive_timeout ${PROXY_IDLE}s;
}

# For what needs a new connection: WebSockets, and a second and a third attempt, when a worker died under a request, which
# another worker is to accept. When a worker dies, the pool above may be full of connections to it.
upstream app_again {
  # max_fails=0: as fail_timeout=0, where there is a choice.
  ${server} fail_timeout=0 max_fails=0;
  # The same once more: nginx turns to it when the line above has failed.
  ${server} fail_timeout=0 max_fails=0 backup;
  # Never a used connection.
  keepalive_requests 1;
}

# Only WebSocket is passed on; an app would take an HTTP/2 upgrade (curl --http2, Java) for one.
map $http_upgrade $app_upgrade {
  default '';
  ~*^websocket$ websocket;
}
# Empty for ordinary requests, so that their connections go back to the pool.
map $app_upgrade $app_connection {
  default '';
  websocket upgrade;
}
# Never from the pool, to which nginx would return the connection of a handshake that is refused: nobody reads there any more.
map $app_upgrade $app_upstream {
  default app_server;
  websocket app_again;
}
# As the client sent it, with its port. HTTP/3 has it elsewhere, and HTTP/1.0 needs none, but HTTP/1.1 to the app does.
map $http_host $app_host {
  default $http_host;
  '' $app_host_name;
}
map $host $app_host_name {
  default $host;
  '' localhost;
}`;
}

const HEADERS = `# Connections can be used again.
proxy_http_version 1.1;

# What the client asked for, as it wrote it.
proxy_set_header Host $app_host;
# The two of a WebSocket handshake; otherwise empty, and not sent.
proxy_set_header Upgrade $app_upgrade;
proxy_set_header Connection $app_connection;
# What follows says who the client is. Its own claims are overwritten or, when empty here, dropped.
proxy_set_header X-Forwarded-For $remote_addr;
proxy_set_header X-Forwarded-Proto $scheme;
proxy_set_header X-Forwarded-Host $app_host;
proxy_set_header X-Real-IP $remote_addr;
proxy_set_header Forwarded '';
proxy_set_header X-Forwarded-Port '';
proxy_set_header X-Forwarded-Prefix '';
proxy_set_header X-Forwarded-Server '';
proxy_set_header X-Forwarded-Ssl '';
proxy_set_header X-Forwarded-User '';
# The same id in nginx's log and in the app's.
proxy_set_header X-Request-ID $request_id;`;

const LOCATIONS = `# Everything is the app's.
location / {
  # The path and the query go on as they came.
  proxy_pass http://$app_upstream;
  # One attempt.
  proxy_next_upstream off;
  # The worker died, nobody listens, or nginx cannot take the answer.
  error_page 502 = @again;
}

location @again {
  # Only what may run twice.
  if ($request_method !~ ^(GET|HEAD|OPTIONS|PUT|DELETE)$) {
    # Anything else may have been done already.
    return 502;
  }
  # As above.
  proxy_pass http://app_again;
  # Again after an error; never after a timeout, when the app may still be at work.
  proxy_next_upstream error;
  # Three attempts in all, and no more: the request may be what kills the workers.
  proxy_next_upstream_tries 2;
}`;

function indented(by: number, text: string): string {
  return text.replace(/^(?=.)/gm, ' '.repeat(by));
}
