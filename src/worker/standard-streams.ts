/**
 * What the app prints by itself. The logs do not come this way: they write to the descriptors.
 */

/**
 * Keeps a `console.log` of the app from ending the worker when nobody reads the pipe any more. Node makes a standard
 * stream when it is first used, which makes its pipe non-blocking for everybody who shares it; so nothing is touched
 * before the app does.
 */
export function surviveClosedPipes(): void {
  for (const name of ['stdout', 'stderr'] as const) {
    const { get } = Object.getOwnPropertyDescriptor(process, name) ?? {};
    if (!get) continue;
    Object.defineProperty(process, name, {
      configurable: true,
      enumerable: true,
      get() {
        const stream = get.call(process) as NodeJS.WriteStream;
        Object.defineProperty(process, name, { value: stream, configurable: true, enumerable: true });
        return stream.on('error', () => {});
      },
    });
  }
}
