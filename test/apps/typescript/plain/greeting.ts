/** Imported by its own extension. */
export function greeting(name: string): string {
  return `hello ${name}`;
}
