/**
 * The process that a config file with code runs in: how Node is started for it, and how JavaScript or TypeScript is
 * loaded there. What is done with it there is said by others: `config-file.ts` asks for its data, and the arbiter has
 * its hooks run.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';

/**
 * What every program begins with: `load(file)` returns the object that the file exports, and throws a `Mistake` if
 * there is none. TypeScript is run by Node where that can, else by the tsx or jiti that is installed for the file. As
 * text, because it must run without what else the server was started with.
 */
const LOADER = `
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

/** Told as it is, without a place. */
class Mistake extends Error {}

/** The modules that load TypeScript where Node does not, as they are installed for the file. */
const loaders = {
  tsx: async (require, file) => {
    await import(pathToFileURL(require.resolve('tsx')));
    return import(pathToFileURL(file));
  },
  jiti: (require, file) => require('jiti').createJiti(file).import(file),
};

function isInstalled(require, name) {
  try {
    return Boolean(require.resolve(name));
  } catch {
    return false;
  }
}

function importFile(file) {
  if (!/\\.m?ts$/.test(file) || process.features.typescript) return import(pathToFileURL(file));
  const require = createRequire(file);
  const name = Object.keys(loaders).find((name) => isInstalled(require, name));
  if (name) return loaders[name](require, file);
  throw new Mistake('Node ' + process.versions.node + ' cannot run TypeScript: ' +
    'npm install --save-dev tsx (or jiti), or use Node 22.18 or newer, or JavaScript');
}

async function load(file) {
  let module = await importFile(file);
  // An ES module that was compiled to CommonJS.
  if (module.default?.__esModule) module = module.default;
  if (!('default' in module)) throw new Mistake('it has no default export: expected export default { … }');
  const values = await (typeof module.default === 'function' ? module.default() : module.default);
  if (typeof values === 'object' && values !== null && !Array.isArray(values)) return values;
  const type = values === null ? 'null' : Array.isArray(values) ? 'an array' : typeof values;
  throw new Mistake('its default export is ' + type + ': expected an object of settings');
}
`;

/** What Node says about every file of TypeScript, or of a package that does not say its type: true, and of no use. */
const QUIET = ['ExperimentalWarning', 'MODULE_TYPELESS_PACKAGE_JSON'].map(
  (name) => `--disable-warning=${name}`,
);

/**
 * Starts a program that may use `load` and `Mistake`; its arguments, of which the file is the first, are at
 * `process.argv[1]` and on.
 *
 * @throws Error for some failures of the system, ENOMEM for one; others, such as EMFILE, are emitted.
 */
export function spawnConfigProcess(
  program: string,
  args: readonly string[],
  options: SpawnOptions,
): ChildProcess {
  const flags = [...QUIET, '--input-type=module', '--eval', LOADER + program];
  return spawn(process.execPath, [...flags, ...args], options);
}
