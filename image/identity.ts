// What a build says it was made from: the version, and the commit where that is all there is in the checkout.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BuildIdentity } from "./variants.ts";

/** Of a checkout or a source archive, which is as old as `date` says, YYYY-MM-DD.
 *
 * A checkout with changes that no commit has names no revision: people would look for them there. */
export function readIdentity(repository: string, date: string): BuildIdentity {
  const { version } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as { version: string };
  const git = (...args: readonly string[]): string | undefined => {
    const done = spawnSync("git", args, { cwd: repository, encoding: "utf8", timeout: 30_000 });
    return done.status === 0 ? done.stdout.trim() : undefined;
  };
  const [revision, created] = git("log", "-1", "--format=%H %cI")?.split(" ") ?? [];
  const isCommitted = git("status", "--porcelain") === "";
  return { version, revision: isCommitted ? revision : undefined, created: new Date(created ?? date).toISOString() };
}
