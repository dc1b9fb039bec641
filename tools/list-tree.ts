// The project's files, as git knows them.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");

/** Paths from the root of every file that git knows or would add, without those deleted in the work tree. */
export function listTree(): string[] {
  const listed = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  });
  if (listed.status !== 0) throw new Error(`Cannot list the tree: ${listed.stderr}`);
  return listed.stdout.split("\0").filter((path) => path !== "" && existsSync(join(root, path)));
}
