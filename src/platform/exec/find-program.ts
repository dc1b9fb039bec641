// Where programs are looked for: the places an image or a distribution puts them, never the environment's PATH.
import { accessSync, constants } from "node:fs";
import { join } from "node:path";

export const PROGRAM_FOLDERS = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** The whole path of a program that may be executed, undefined when there is none of that name. */
export function findProgram(name: string): string | undefined {
  return PROGRAM_FOLDERS.map((folder) => join(folder, name)).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
