/**
 * Node's inspector in whatever process, through which whoever may connect to 127.0.0.1 can run code as that one's user.
 */

/** Loaded when it is first asked for: an import would be in the way of every start. */
export const inspector = () => process.getBuiltinModule('node:inspector');

/** Sends debuggers away, and lets go of the port. */
export function closeInspector(): void {
  if (inspector().url() !== undefined) inspector().close();
}
