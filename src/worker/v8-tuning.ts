/**
 * What a worker tells V8 once it is ready, since a server does the same few things for as long as it lives. Knows the flags
 * and why; each says what it brought, and `v8-tuning.test.ts` whether V8 knows it still.
 */

/** A flag of V8, from the version on where it is worth what it costs to change flags: see `tuneV8`. */
interface Tuning {
  readonly since: number;
  readonly flag: string;
}

export const TUNINGS: readonly Tuning[] = [
  /**
   * V8 notes for each place in the code whether what is made there lives long, and then makes it in the old generation at
   * once: with V8 14 (Node 26) the listeners of connections. There they keep alive all that they point to until the next
   * full collection, so that every closed connection was copied and marked: a tenth of the CPU time of short ones. In
   * Node 24 it was seen only now and then.
   */
  { since: 14, flag: '--no-allocation-site-pretenuring' },
  /**
   * A request goes through some hundred small functions of Node and Fastify, more than V8 puts into one another by
   * default (920 and 460 bytes of bytecode): about 5 % of the CPU time of a small answer on Node 26 and 24, and less than
   * it is worth on older ones. With twice as much nothing more was gained, and compiling took longer.
   */
  { since: 13, flag: '--max-inlined-bytecode-size-cumulative=2400' },
  { since: 13, flag: '--max-inlined-bytecode-size=1200' },
];

/**
 * Sets these flags from now on. To be called when all is loaded: from then on V8 does not take the compiled code that Node
 * brings for modules of its own, as it was compiled under other flags. For the same reason they are not given to Node at
 * its start, which then takes 15 ms more.
 */
export function tuneV8(): void {
  for (const flag of flagsFor(process.versions.v8, process.execArgv))
    process.getBuiltinModule('node:v8').setFlagsFromString(flag);
}

/** The flags for a version of V8, but for those that the operator, with flags of their own, says something about. */
export function flagsFor(version: string, own: readonly string[]): string[] {
  const decided = new Set(own.map(nameOf));
  return TUNINGS.filter(
    ({ since, flag }) => Number.parseInt(version, 10) >= since && !decided.has(nameOf(flag)),
  ).map(({ flag }) => flag);
}

/** What a flag is about, however it is written. */
export function nameOf(flag: string): string {
  return flag
    .replace(/=.*/s, '')
    .replaceAll('_', '-')
    .replace(/^--(no-?)?/, '');
}
