/**
 * Where the files of this package are. The build puts most modules into a few files, as many small ones take long to
 * load; this one stays at the top of src and of dist, and the entries of processes stay where they are below it.
 */
import { fileURLToPath } from 'node:url';

// The entries have the extension of this file: .js when built, .ts under a loader.
const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'));

/** The directory of all our code. */
export const OURS = fileURLToPath(new URL('.', import.meta.url));
/** The entry of a worker process. */
export const WORKER = fileURLToPath(new URL(`worker/worker${extension}`, import.meta.url));
/** The URL of the module that runs hooks in a process of their own. */
export const HOOK_HOST = new URL(`hooks/host${extension}`, import.meta.url).href;
/** The manifest of the package. */
export const MANIFEST = new URL('../package.json', import.meta.url);
