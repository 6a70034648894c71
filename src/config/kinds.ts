/**
 * The kinds of values that settings have: how each is read from text or from the config file, and shown. Pure; which
 * setting is of which kind is in `settings.ts`.
 */
import { type Address, formatAddress, parseAddress } from '../address.ts';
import type { PortAdoption } from '../protocol.ts';
import { impossibleFlag, splitFlags } from './node-flags.ts';

/** JSON Schema, as much of it as kinds need. */
export interface Schema {
  type?: 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'object';
  anyOf?: readonly Schema[];
  enum?: readonly string[];
  const?: number;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  pattern?: string;
  items?: Schema;
  minItems?: number;
}

/** A host and a port. */
export type TcpAddress = Extract<Address, { kind: 'tcp' }>;

/** How a value is read and shown. */
export interface Kind<T> {
  /** The word that stands for a value in `--help`, e.g. `SECONDS`; empty for a switch. */
  placeholder: string;
  /** Reads a flag's or variable's text. Throws an Error whose message begins with "expected". */
  parse(text: string): T;
  /** Takes a value of the config file: a string as `parse` does, or the type itself. Throws as `parse` does. */
  accept(value: unknown): T;
  /** The text that `parse` reads back as the same value. */
  show(value: T): string;
  /** What `accept` takes, for editors: the types, and what else of it a schema can say. */
  schema: Schema;
  /** What a switch may say after `=` in place of nothing, e.g. `HOST:PORT`. */
  optional?: string;
  /** A repeated flag adds to the value, where otherwise the last one wins; its text is separated by commas. */
  isList?: true;
  /** The value itself looks like a flag: `--node-options --expose-gc`. */
  isFlag?: true;
  /** Numbers in octal. */
  isOctal?: true;
}

/** A kind whose values in a file are of a type that has the same text as on the command line. */
const kind = <T>(
  row: Omit<Kind<T>, 'accept' | 'schema'> & { schema?: Schema },
  type: 'string' | 'number' | 'boolean',
): Kind<T> => ({
  schema: type === 'string' ? { type } : { anyOf: [{ type }, { type: 'string' }] },
  ...row,
  accept(value) {
    if (typeof value === type || typeof value === 'string') return row.parse(String(value));
    throw new Error(`expected a ${type}`);
  },
});

/** Any text but an empty one. */
export const text = (placeholder: string): Kind<string> =>
  kind(
    {
      placeholder,
      parse(value) {
        if (value === '') throw new Error('expected a value, got an empty one');
        if (value.includes('\0')) throw new Error('expected a value without a NUL character');
        return value;
      },
      show: (value) => value,
      schema: { type: 'string', minLength: 1 },
    },
    'string',
  );

/** The path of a Unix socket; `unix:` may stand before it, as in an address. */
export const socketPath: Kind<string> = kind(
  {
    ...text('PATH'),
    parse(value) {
      const path = value.startsWith('unix:') ? parseAddress(value) : undefined;
      if (path?.kind === 'abstract')
        throw new Error('expected a path, as others may connect to an abstract name');
      return path?.kind === 'unix' ? path.path : text('PATH').parse(value);
    },
  },
  'string',
);

/** A module as Node's --import and --require take it. A list of such has no room for the commas of a data: URL. */
export const moduleName: Kind<string> = kind(
  {
    ...text('MODULE'),
    parse(value) {
      if (/^data:/i.test(value))
        throw new Error('expected a file or a package; for a data: URL use --node-options');
      return text('MODULE').parse(value);
    },
  },
  'string',
);

/** Flags of Node in one string; see `node-flags.ts`. */
export const nodeFlags: Kind<string> = kind(
  {
    ...text('FLAGS'),
    isFlag: true,
    parse(value) {
      const flag = impossibleFlag(splitFlags(text('FLAGS').parse(value)));
      if (flag !== undefined)
        throw new Error(`expected Node flags that a worker can run with, which ${flag} is not`);
      return value;
    },
  },
  'string',
);

/** A user or a group: these have numbers, too. */
const account = (placeholder: string): Kind<string> => ({
  ...text(placeholder),
  schema: { anyOf: [{ type: 'string', minLength: 1 }, { type: 'integer' }] },
  accept: (value) => text(placeholder).accept(Number.isSafeInteger(value) ? String(value) : value),
});

/** A group by name or number. */
export const group = account('GROUP');

/** A user by name or number. */
export const user = account('USER');

/** A file, or - for a stream. As the access log can be turned off by that word, somebody will try. */
export const errorLog: Kind<string> = kind(
  {
    ...text('FILE'),
    parse(value) {
      if (value === 'off') throw new Error('expected a file or -; to silence the log use --log-level silent');
      return text('FILE').parse(value);
    },
  },
  'string',
);

/** A file for a process id. For other servers -p is the port. */
export const pidFile: Kind<string> = kind(
  {
    ...text('FILE'),
    parse(value) {
      if (/^\d+$/.test(value))
        throw new Error(
          `expected a file; for a port say --bind 127.0.0.1:${value}, for a file of that name ./${value}`,
        );
      return text('FILE').parse(value);
    },
  },
  'string',
);

/** A whole number. */
export const integer = (placeholder: string, least: number, most: number): Kind<number> =>
  kind(
    {
      placeholder,
      parse(value) {
        const number = Number(value);
        if (!/^\d+$/.test(value) || number < least || number > most) {
          throw new Error(`expected a whole number from ${least} to ${most}`);
        }
        return number;
      },
      show: String,
      schema: {
        anyOf: [
          { type: 'integer', minimum: least, maximum: most },
          { type: 'string', pattern: '^\\d+$' },
        ],
      },
    },
    'number',
  );

/** Longer than any sensible timeout, and short enough for a 32-bit timer in milliseconds. */
const A_WEEK = 604_800;

/** A time of at least so many seconds; with `orOff` also 0, which turns the setting off. */
export const secondsFrom = (least: number, orOff: '' | '0 (off) or ' = ''): Kind<number> =>
  kind(
    {
      placeholder: 'SECONDS',
      parse(value) {
        const number = Number(value);
        const isOff = orOff !== '' && number === 0;
        if (!/^\d+(\.\d+)?$/.test(value) || (!isOff && (number < least || number > A_WEEK))) {
          throw new Error(`expected ${orOff}a number of seconds from ${least} to ${A_WEEK}`);
        }
        return number;
      },
      show: String,
      schema: {
        anyOf: [
          ...(orOff ? [{ const: 0 }] : []),
          { type: 'number', minimum: least, maximum: A_WEEK },
          { type: 'string', pattern: '^\\d+(\\.\\d+)?$' },
        ],
      },
    },
    'number',
  );

/** A time of a millisecond or more. */
export const seconds = secondsFrom(0.001);

/** Permission bits, in octal. */
const octal = (what: string, { digits, example }: { digits: string; example: string }): Kind<number> => {
  const pattern = `^(0o?)?[0-7]${digits}$`;
  const parse = (value: string) => {
    if (!new RegExp(pattern).test(value)) throw new Error(`expected an octal ${what} such as ${example}`);
    return Number.parseInt(value.replace('0o', ''), 8);
  };
  return {
    placeholder: 'MODE',
    parse,
    accept(value) {
      if (typeof value === 'string') return parse(value);
      // A number is the mode itself: in a file it is written 0o660. Who writes 660 has forgotten the 0o.
      // As text -0 would be read back as 0.
      if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0o777)
        return Math.abs(value);
      throw new Error(
        `expected an octal ${what} such as '${example}', or 0o${example.slice(1)} in JavaScript`,
      );
    },
    show: (mode) => `0${mode.toString(8).padStart(3, '0')}`,
    isOctal: true,
    schema: {
      anyOf: [
        { type: 'string', pattern },
        { type: 'integer', minimum: 0, maximum: 0o777 },
      ],
    },
  };
};

/** The permission bits of a file. */
export const octalMode = octal('mode', { digits: '{3}', example: '0660' });

/** The permission bits that new files do not get; one digit is enough for 0, as in umask(1). */
export const umask = octal('mask', { digits: '{1,3}', example: '027' });

/** A switch. */
export const onOff: Kind<boolean> = kind(
  {
    placeholder: '',
    parse(value) {
      if (/^(1|true|yes|on)$/i.test(value)) return true;
      if (/^(0|false|no|off)$/i.test(value)) return false;
      throw new Error('expected true or false');
    },
    show: String,
  },
  'boolean',
);

/** Where a debugger reaches a worker: on, which is the address that Node's own flag has, or a port, or HOST:PORT. */
export const inspectorAddress: Kind<TcpAddress | undefined> = {
  placeholder: '',
  optional: 'HOST:PORT',
  parse(value) {
    const [host, port] = ['127.0.0.1', 9229];
    const typed = /^\d\d+$/.test(value) ? `${host}:${value}` : value;
    try {
      return onOff.parse(typed) ? { kind: 'tcp', host, port } : undefined;
    } catch {}
    try {
      const address = parseAddress(typed);
      if (address.kind === 'tcp') return address;
    } catch {}
    throw new Error('expected PORT or HOST:PORT');
  },
  accept(value) {
    if (['string', 'number', 'boolean'].includes(typeof value)) return inspectorAddress.parse(String(value));
    throw new Error('expected true, false, PORT or HOST:PORT');
  },
  show: (value) => (value === undefined ? 'false' : formatAddress(value)),
  schema: { anyOf: [{ type: 'boolean' }, { type: 'string' }] },
};

/** One of these words. */
export const choice = <const T extends string>(placeholder: string, ...choices: T[]): Kind<T> =>
  kind(
    {
      placeholder,
      parse(value) {
        const found = choices.find((one) => one === value);
        if (!found) throw new Error(`expected one of ${choices.join(', ')}`);
        return found;
      },
      show: (value) => value,
      schema: { enum: choices },
    },
    'string',
  );

/** Where to listen: see `address.ts`. */
export const address: Kind<Address> = kind(
  { placeholder: 'ADDRESS', parse: parseAddress, show: formatAddress },
  'string',
);

/** JSON of an object, or the path of a file with it. In a config file also the object itself. */
export const json: Kind<string> = {
  placeholder: 'JSON|FILE',
  parse(value) {
    const given = text('JSON|FILE').parse(value.trim());
    if (!given.startsWith('{')) return given;
    try {
      JSON.parse(given);
    } catch (error) {
      const what = (error as Error).message.replace(/\p{Cc}/gu, ' ');
      throw new Error(`expected JSON of an object, or a file with it: ${what}`);
    }
    return given;
  },
  accept(value) {
    if (typeof value === 'string') return json.parse(value);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return JSON.stringify(value);
    throw new Error('expected an object, or the path of a JSON file');
  },
  show: (value) => value,
  schema: { anyOf: [{ type: 'string', minLength: 1 }, { type: 'object' }] },
};

/** What becomes of a further port of the app: `9090=first`, `9090=127.0.0.1:9090`. */
export const portAdoption: Kind<PortAdoption> = kind(
  {
    placeholder: 'PORT=TO',
    parse(value) {
      const [, port, to = ''] = /^(\d{1,5})=(.+)$/.exec(value) ?? [];
      if (port === undefined || Number(port) < 1 || Number(port) > 65535)
        throw new Error('expected PORT=first or PORT=ADDRESS, the address being that of a --bind');
      return { port: Number(port), to: to === 'first' ? to : parseAddress(to) };
    },
    show: ({ port, to }) => `${port}=${to === 'first' ? to : formatAddress(to)}`,
  },
  'string',
);

/** IP addresses: one, a network as `10.0.0.0/8`, or `*` for all. */
export const network: Kind<string> = kind(
  {
    placeholder: 'NETWORK',
    parse(value) {
      if (value !== '*' && !isNetwork(value))
        throw new Error('expected an IP address, a network such as 10.0.0.0/8, or *');
      return value.toLowerCase();
    },
    show: (value) => value,
  },
  'string',
);

function isNetwork(value: string): boolean {
  const [, address = '', bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(value) ?? [];
  // Without zeros before a number, which some take for octal, and Node refuses.
  const isV4 =
    /^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}$/.test(address) &&
    address.split('.').every((byte) => Number(byte) < 256);
  const isV6 = /^[\da-f:.]*:[\da-f:.]*$/i.test(address) && URL.canParse(`http://[${address}]/`);
  return (isV4 || isV6) && Number(bits ?? 0) <= (isV4 ? 32 : 128);
}

/**
 * Values of a kind, each only once: as text separated by commas, in a file also as an array. One at least, unless the
 * list may be empty.
 */
export const list = <T>(item: Kind<T>, mayBeEmpty = false): Kind<T[]> => {
  const eachOnce = (values: T[]): T[] => {
    const texts = values.map(item.show);
    const twice = texts.find((one, index) => texts.indexOf(one) < index);
    if (twice !== undefined) throw new Error(`expected each only once, got ${JSON.stringify(twice)} twice`);
    return values;
  };
  const parseAll = (value: string): T[] => {
    const texts = mayBeEmpty && value === '' ? [] : value.split(',').map((one) => one.trim());
    return texts.map((text) => {
      try {
        return item.parse(text);
      } catch (error) {
        const which = texts.length > 1 ? ` (got ${JSON.stringify(text)} between commas)` : '';
        throw new Error(`${(error as Error).message}${which}`);
      }
    });
  };
  return {
    placeholder: item.placeholder,
    isList: true,
    parse: (value) => eachOnce(parseAll(value)),
    accept(value) {
      if (typeof value === 'string') return eachOnce(parseAll(value));
      if (!Array.isArray(value) || value.some((one) => typeof one !== 'string'))
        throw new Error('expected a string or an array of strings');
      if (value.length === 0 && !mayBeEmpty)
        throw new Error('expected one at least; for the default leave the key out, or make it undefined');
      return eachOnce((value as string[]).flatMap(parseAll));
    },
    show: (values) => values.map(item.show).join(','),
    schema: {
      anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' }, minItems: mayBeEmpty ? 0 : 1 }],
    },
  };
};
