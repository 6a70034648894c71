/**
 * Reads the certificate and its key, and makes sure that they can be used, before anything depends on them. Who speaks
 * TLS with them is the worker's business.
 */
import type { KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Config } from '../config/settings.ts';
import { UserError } from '../errors.ts';
import type { TlsIdentity } from '../protocol.ts';

// Loaded only where there is TLS: at a start it takes a while, before the first worker is spawned.
const nodeCrypto = () => process.getBuiltinModule('node:crypto');
const nodeTls = () => process.getBuiltinModule('node:tls');

/**
 * What TLS is to be spoken with, as the files are now; undefined if there is to be none.
 *
 * @throws UserError of one line if a file cannot be read or used, or the two do not belong together.
 */
export function readTlsIdentity({
  certfile,
  keyfile,
}: Pick<Config, 'certfile' | 'keyfile'>): TlsIdentity | undefined {
  if (certfile === undefined || keyfile === undefined) return undefined;
  const cert = read('--certfile', certfile);
  const key = read('--keyfile', keyfile);
  const certificate = certificateIn(certfile, cert);
  if (!certificate.checkPrivateKey(keyIn(keyfile, key)))
    throw new UserError(`--keyfile ${keyfile}: it is not the key of ${certfile} (--certfile)`);
  try {
    nodeTls().createSecureContext({ cert, key });
  } catch (error) {
    throw new UserError(`--certfile ${certfile}: TLS cannot use it: ${(error as Error).message}`);
  }
  return { cert, key, ticketKeys: nodeCrypto().randomBytes(48).toString('base64') };
}

function read(flag: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UserError(`${flag} ${path}: cannot read it: ${(error as Error).message}`);
  }
}

function certificateIn(path: string, pem: string): X509Certificate {
  try {
    return new (nodeCrypto().X509Certificate)(pem);
  } catch {
    throw new UserError(`--certfile ${path}: expected a certificate in PEM (BEGIN CERTIFICATE)`);
  }
}

function keyIn(path: string, pem: string): KeyObject {
  // Both forms there are: PKCS #8, and the older one of OpenSSL.
  if (/^-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED/m.test(pem))
    throw new UserError(
      `--keyfile ${path}: the key is encrypted, and nobody is there to ask for its passphrase; openssl pkey decrypts it`,
    );
  try {
    return nodeCrypto().createPrivateKey(pem);
  } catch {
    throw new UserError(`--keyfile ${path}: expected a private key in PEM (BEGIN PRIVATE KEY)`);
  }
}
