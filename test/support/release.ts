/** Releases that bring their own fasticorn, as a deploy makes them. */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CLI } from './server.ts';

/** Puts the built fasticorn into a new directory, as this version; `dist/cli.js` there is the command. */
export function installFasticorn(directory: string, version: string): void {
  const dist = dirname(CLI);
  const root = dirname(dist);
  mkdirSync(directory);
  cpSync(dist, join(directory, 'dist'), { recursive: true });
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ ...manifest, version }));
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
}
