// Builds the testbed's small C programs on the spot: static, so that they run in any mount namespace and image.
// A result is kept in .cache under the hash of its source and flags, and made again only when one of them changes.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { REPOSITORY } from "./repository.ts";

const FLAGS = ["-static", "-O2", "-Wall", "-Wextra", "-Werror"];

/** Compiles one C file and returns the path of the executable. Synchronous: it runs before namespaces are entered.
 * @throws {Error} with the compiler's output when it does not compile, or when there is no gcc. */
export function compileStatic(source: string): string {
  const hash = createHash("sha256").update(FLAGS.join(" ")).update(process.arch).update(readFileSync(source));
  const name = basename(source, ".c");
  const folder = join(REPOSITORY, ".cache", "testbed");
  const target = join(folder, `${name}-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(target)) return target;
  mkdirSync(folder, { recursive: true });
  // Test files run side by side: each builds its own copy, and the last rename wins with the same content.
  const temporary = `${target}.${process.pid}`;
  try {
    const done = spawnSync("gcc", [...FLAGS, "-o", temporary, source], {
      encoding: "utf8",
      timeout: 60_000,
      env: { ...process.env, LC_ALL: "C" },
    });
    if (done.error) throw new Error(`Cannot compile ${source}: ${done.error.message}`, { cause: done.error });
    if (done.status !== 0) throw new Error(`Cannot compile ${source}: gcc ended with ${done.status}\n${done.stderr}`);
    renameSync(temporary, target);
  } finally {
    rmSync(temporary, { force: true });
  }
  return target;
}
