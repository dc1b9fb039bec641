// Which of several places exists here: hosts and images differ.
import { existsSync, lstatSync } from "node:fs";
import { join } from "node:path";

/** The first path that exists now, whatever it is; undefined when none does. */
export function firstExisting(paths: readonly string[]): string | undefined {
  return paths.find((path) => existsSync(path));
}

/** Whether the folder has something of that name; of a link it does not count where it leads: the host's lead to places that are
 * not mounted here. False, too, where the folder cannot be looked into. */
export function hasName(folder: string, name: string): boolean {
  try {
    return lstatSync(join(folder, name), { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
}
