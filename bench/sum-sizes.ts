// How much files take: their bytes, as `ls` tells them, not the blocks of whatever disk they lie on.
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Of regular files, and of those in folders and below; what is not there counts nothing. */
export function sumSizesKib(paths: readonly string[]): number {
  return paths.reduce((sum, path) => sum + sizeOf(path), 0) / 1024;
}

function sizeOf(path: string): number {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats?.isFile() === true) return stats.size;
  if (stats?.isDirectory() !== true) return 0;
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}
