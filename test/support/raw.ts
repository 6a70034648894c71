/**
 * HTTP by hand over a socket, for tests that care about when a connection is opened, used and ended.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A connection whose every byte the test sees. */
export class RawConnection {
  readonly socket: Socket;
  received = '';
  /** Set when the server has ended its side. */
  ended = false;
  /** The code of a reset, if there was one. */
  error: string | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('latin1').on('data', (text) => {
      this.received += text;
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code;
    });
  }

  /** Connects, and rejects with the system's error if that fails. */
  static async open(path: string): Promise<RawConnection> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new RawConnection(socket);
  }

  send(text: string): void {
    this.socket.write(text, 'latin1');
  }

  get(path: string, headers = ''): void {
    this.send(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`);
  }

  post(path: string, body: string): void {
    this.send(
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
  }

  /** How many complete answers with a Content-Length have come. */
  get answers(): number {
    let rest = this.received;
    let count = 0;
    for (;;) {
      const head = rest.indexOf('\r\n\r\n');
      if (head < 0) return count;
      const length = Number(/content-length: (\d+)/i.exec(rest.slice(0, head))?.[1] ?? 0);
      if (rest.length < head + 4 + length) return count;
      rest = rest.slice(head + 4 + length);
      count++;
    }
  }

  close(): void {
    this.socket.destroy();
  }
}
