/**
 * The PROXY protocol's header, versions 1 and 2, as HAProxy's proxy-protocol.txt has them. Pure: bytes in, the client
 * out; who may send one, and how long it may take, is the business of `entrance.ts`.
 */
import { isIPv4, isIPv6 } from 'node:net';

/** Who a proxy speaks for. */
export interface Client {
  address: string;
  port: number;
}

/** A header that has come as a whole. */
export interface ProxyHeader {
  /** How many bytes it had: what follows is the client's. */
  length: number;
  /** Absent where the proxy speaks for itself (a health check), or for somebody without an IP address. */
  client?: Client;
}

/** Bytes that are no header. */
export class ProxyHeaderError extends Error {}

/** CR and LF included. */
const LONGEST_V1 = 107;
const SIGNATURE_V2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const FIXED_V2 = 16;
/** Addresses and extensions together, as in nginx; the largest extension is a client's certificate. */
const LONGEST_V2 = 4096;

const COMMAND = { local: 0, proxy: 1 };
/** Family and transport: what else there is (datagrams, Unix sockets, unspecified) names no TCP client. */
const TCP4 = 0x11;
const TCP6 = 0x21;

/**
 * Reads the header at the beginning of a connection.
 *
 * @param bytes all that has come so far.
 * @returns undefined as long as more bytes are needed.
 * @throws ProxyHeaderError as soon as they can't become a header any more.
 */
export function readProxyHeader(bytes: Buffer): ProxyHeader | undefined {
  if (bytes.length === 0) return undefined;
  return bytes[0] === SIGNATURE_V2[0] ? readV2(bytes) : readV1(bytes);
}

function readV1(bytes: Buffer): ProxyHeader | undefined {
  const text = bytes.toString('latin1', 0, LONGEST_V1);
  const beginning = 'PROXY '.slice(0, text.length);
  if (!text.startsWith(beginning)) throw new ProxyHeaderError('it begins with something else');
  const end = text.indexOf('\r\n');
  if (end < 0) {
    if (text.length < LONGEST_V1) return undefined;
    throw new ProxyHeaderError('its line does not end');
  }
  const length = end + 2;
  const [, protocol, source = '', destination = '', ...ports] = text.slice(0, end).split(' ');
  // Whatever else stands in the line is to be ignored then.
  if (protocol === 'UNKNOWN') return { length };
  const isAddress = protocol === 'TCP4' ? isIPv4 : protocol === 'TCP6' ? isIPv6 : undefined;
  const areRight = isAddress?.(source) && isAddress(destination) && ports.length === 2 && ports.every(isPort);
  if (!areRight) throw new ProxyHeaderError('its line is malformed');
  return { length, client: { address: source, port: Number(ports[0]) } };
}

function isPort(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65535;
}

function readV2(bytes: Buffer): ProxyHeader | undefined {
  const signature = bytes.subarray(0, SIGNATURE_V2.length);
  if (!signature.equals(SIGNATURE_V2.subarray(0, signature.length)))
    throw new ProxyHeaderError('it begins with something else');
  if (bytes.length < FIXED_V2) return undefined;
  const version = bytes[12]! >> 4;
  const command = bytes[12]! & 0x0f;
  const variable = bytes.readUInt16BE(14);
  if (version !== 2 || command > COMMAND.proxy)
    throw new ProxyHeaderError('its version or command is unknown');
  if (variable > LONGEST_V2) throw new ProxyHeaderError('it is too long');
  const length = FIXED_V2 + variable;
  const addressBytes = { [TCP4]: 4, [TCP6]: 16 }[bytes[13]!];
  if (command === COMMAND.proxy && addressBytes !== undefined && variable < 2 * addressBytes + 4)
    throw new ProxyHeaderError('it is too short for its addresses');
  if (bytes.length < length) return undefined;
  if (command === COMMAND.local || addressBytes === undefined) return { length };
  const source = bytes.subarray(FIXED_V2, FIXED_V2 + addressBytes);
  const port = bytes.readUInt16BE(FIXED_V2 + 2 * addressBytes);
  return { length, client: { address: addressBytes === 4 ? source.join('.') : textOfV6(source), port } };
}

/** In the shortest form, as the kernel would show it. */
function textOfV6(bytes: Buffer): string {
  if (bytes.readUIntBE(0, 6) === 0 && bytes.readUIntBE(6, 6) === 0xffff)
    return `::ffff:${bytes.subarray(12).join('.')}`;
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
}
