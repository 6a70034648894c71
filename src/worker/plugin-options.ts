/**
 * What follows `--` on the command line, as the options of a plugin. Pure; the rules are fastify-cli's.
 */

/**
 * Reads `--one --two foo --some-key=bar -x` as `{ one: true, two: 'foo', someKey: 'bar', x: true }`; a repeated one has
 * its last value, and what belongs to no option is left out.
 */
export function pluginOptions(args: readonly string[]): Record<string, string | boolean> {
  const options: Record<string, string | boolean> = {};
  for (let index = 0; index < args.length; index++) {
    const arg = args[index]!;
    if (arg === '--') break;
    const [, long, inline] = /^--([^=]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (long !== undefined) {
      const next = args[index + 1];
      const takesNext = inline === undefined && next !== undefined && !next.startsWith('-');
      if (takesNext) index++;
      options[camelCase(long)] = inline ?? (takesNext ? next : true);
    } else if (/^-[^-]/.test(arg)) for (const letter of arg.slice(1)) options[letter] = true;
  }
  return options;
}

function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
