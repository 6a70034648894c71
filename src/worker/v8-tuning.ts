/**
 * What a worker tells V8, since a server does the same few things for as long as it lives. Knows the flags and why; each
 * says what it brought, and `v8-tuning.test.ts` whether V8 knows it still. When a worker has served is said by
 * `idle-memory.ts`.
 */

/** A flag of V8, for the versions where it is worth what it costs to change flags: see `tellV8`. */
interface Tuning {
  readonly flag: string;
  /** The first version. */
  readonly since: number;
  /** The first version that does so by itself. */
  readonly before?: number;
  /** Whether it takes memory, which there may be too little of. */
  readonly takesMemory?: boolean;
  /** When it is told: when the heap was collected at rest, or when the worker has served. By default at once. */
  readonly when?: keyof Flags;
}

export const TUNINGS: readonly Tuning[] = [
  /**
   * V8 notes for each place in the code whether what is made there lives long, and then makes it in the old generation at
   * once: with V8 14 (Node 26) the listeners of connections. There they keep alive all that they point to until the next
   * full collection, so that every closed connection was copied and marked: a tenth of the CPU time of short ones. In
   * Node 24 it was seen only now and then.
   */
  { flag: '--no-allocation-site-pretenuring', since: 14 },
  /**
   * A request goes through some hundred small functions of Node and Fastify, more than V8 puts into one another by
   * default (920 and 460 bytes of bytecode): about 5 % of the CPU time of a small answer on Node 26 and 24, and less than
   * it is worth on older ones. With twice as much nothing more was gained, and compiling took longer.
   */
  { flag: '--max-inlined-bytecode-size-cumulative=2400', since: 13 },
  { flag: '--max-inlined-bytecode-size=1200', since: 13 },
  /**
   * V8 collects the whole heap whenever 64 MiB of buffers were made since the last time, and those of bodies that are long
   * gone count as well: up to half of the CPU time of an upload. With this, as from V8 14.8 on, it counts those that are
   * there, and lets them grow with the heap, so that many are freed with the young generation. Where workers have to share
   * a CPU, its collections come too late for most uploads of 1 MB, and little is won. It takes up to two fifths more memory
   * beside a large heap and many large buffers; and buffers that are kept and come to twice the heap's limit are too many
   * for V8 14.6, which then does little but collect. V8 13 (Node 24) lets them grow by more: two fifths for uploads alone.
   */
  { flag: '--external-memory-accounted-in-global-limit', since: 14, before: 14.8, takesMemory: true },
  /**
   * After some time with little to do V8 may collect the whole heap, to give memory back. If no connection is open just
   * then, the shapes of all that belongs to one go as well, and with them the code that was compiled for these shapes: the
   * next requests cost two to three times as much, for the first two seconds of load. This is how often it may do so.
   */
  { flag: '--memory-reducer-gc-count=0', since: 14, takesMemory: true, when: 'onceServing' },
  /**
   * A heap that was collected at rest has little room for new objects, which V8 doubles when what survives adds up to more
   * than that: with requests that takes long. They were collected three times as often as without the rest, for 2 % of the
   * CPU time. With this they have the room that they had before, or twice as much.
   */
  { flag: '--semi-space-growth-factor=8', since: 14, takesMemory: true, when: 'onceCollected' },
];

/** What is to be told at which time. */
export interface Flags {
  atReady: string[];
  onceCollected: string[];
  onceServing: string[];
}

/**
 * Sets flags from now on. To be called when all is loaded: from then on V8 does not take the compiled code that Node brings
 * for modules of its own, as it was compiled under other flags. For the same reason they are not given to Node at its
 * start, which then takes 15 ms more.
 */
export function tellV8(flags: readonly string[]): void {
  for (const flag of flags) process.getBuiltinModule('node:v8').setFlagsFromString(flag);
}

/**
 * The flags for a version of V8, but for those that the operator, with flags of their own, says something about.
 *
 * @param isMemoryLimited whether this process, or all of us, may have less memory than there is.
 */
export function flagsFor(version: string, own: readonly string[], isMemoryLimited: boolean): Flags {
  // Major and minor: V8's is a tenth of Chrome's, so that the minor one has a single digit.
  const v8 = Number.parseFloat(version);
  const decided = new Set(own.map(nameOf));
  const wanted = TUNINGS.filter(
    ({ flag, since, before = Number.POSITIVE_INFINITY, takesMemory = false }) =>
      v8 >= since && v8 < before && !decided.has(nameOf(flag)) && !(takesMemory && isMemoryLimited),
  );
  const told = (time: keyof Flags) =>
    wanted.filter(({ when = 'atReady' }) => when === time).map(({ flag }) => flag);
  return {
    atReady: told('atReady'),
    onceCollected: told('onceCollected'),
    onceServing: told('onceServing'),
  };
}

/** What a flag is about, however it is written. */
export function nameOf(flag: string): string {
  return flag
    .replace(/=.*/s, '')
    .replaceAll('_', '-')
    .replace(/^--?(no-?)?/, '');
}
