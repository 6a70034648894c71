/**
 * What `import 'fasticorn'` gives to TypeScript: the types of the settings. The server itself is the command.
 */
export type { Address } from './address.ts';
export type { Config } from './config/settings.ts';
