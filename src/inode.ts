/**
 * Which file a name stands for, so that only our own is ever removed. Shared by the arbiter and by workers that
 * have outlived it.
 */
import { lstatSync, unlinkSync } from 'node:fs';

/** Device and inode: the same for two names of one file, and for no other file while it exists. */
export interface Inode {
  dev: number;
  ino: number;
}

/** The inode that a name stands for, or undefined if there is nothing by that name. Symbolic links are not followed. */
export function inodeOf(path: string): Inode | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat && { dev: stat.dev, ino: stat.ino };
}

/** Whether both are the same file. */
export function sameInode(a: Inode | undefined, b: Inode | undefined): boolean {
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}

/**
 * Removes a name if it still stands for the given file. Returns whether it did: a name that is gone, or that may not
 * be removed, is no error.
 */
export function removeIfSame(path: string, inode: Inode): boolean {
  try {
    if (!sameInode(inodeOf(path), inode)) return false;
    unlinkSync(path);
    return true;
  } catch {
    return false;
  }
}
