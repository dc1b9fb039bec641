// Which of several places exists here: hosts and images differ.
import { existsSync } from "node:fs";

/** The first path that exists now, whatever it is; undefined when none does. */
export function firstExisting(paths: readonly string[]): string | undefined {
  return paths.find((path) => existsSync(path));
}
