/**
 * Has V8 make what belongs to a connection among the things that live short. It notes for each place in the code whether
 * what is made there lives long, and then makes it in the old generation at once: with V8 14 (Node 26) the listeners of
 * connections. There they keep alive all that they point to until the next full collection, so that every closed
 * connection was copied and marked: a tenth of the CPU time of short ones.
 */

/** Turns that off from now on, unless the operator has a flag that says something about it. */
export function stopPretenuring(): void {
  // Before, it was seen in Node 24 now and then, and is not worth what the change costs.
  if (Number.parseInt(process.versions.v8, 10) < 14) return;
  if (process.execArgv.some((flag) => /allocation[-_]site[-_]pretenuring/.test(flag))) return;
  process.getBuiltinModule('node:v8').setFlagsFromString('--no-allocation-site-pretenuring');
}
