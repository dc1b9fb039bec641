// Where this machine gets Debian packages from: its own apt settings, or variables. No file of the project names a host.
import { execFileSync } from "node:child_process";
import type { ArchiveName } from "./lock.ts";

const VARIABLES = { debian: "IMAGE_DEBIAN_MIRROR", "debian-security": "IMAGE_SECURITY_MIRROR" } as const;

/** The root of an archive, ending in `/`. @throws {Error} that names the variable to set, where apt knows none. */
export function mirrorOf(archive: ArchiveName): string {
  const set = process.env[VARIABLES[archive]];
  if (set !== undefined && set !== "") return set.endsWith("/") ? set : `${set}/`;
  const path = new RegExp(`/${archive}/?$`);
  const found = aptRepositories().find((uri) => path.test(uri));
  if (found === undefined)
    throw new Error(
      `Cannot fetch Debian packages: apt has no archive whose path ends in /${archive}; set ${VARIABLES[archive]}`,
    );
  return found.endsWith("/") ? found : `${found}/`;
}

let known: readonly string[] | undefined;

function aptRepositories(): readonly string[] {
  known ??= execFileSync("apt-get", ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"], {
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C" },
    timeout: 30_000,
  })
    .split("\n")
    .filter((line) => line !== "");
  return known;
}
