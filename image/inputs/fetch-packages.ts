// Brings files of the Debian archive, known by their hash, into the cache, with apt's own downloader: the machine's proxies and settings hold.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createWorkFolder, inputPath, keepInput } from "./cache.ts";
import type { LockedPackage } from "./lock.ts";
import { mirrorOf } from "./mirrors.ts";

const APT_HELPER = "/usr/lib/apt/apt-helper";

/** Where a file of the archive lies, and what it is. */
export type ArchiveFile = Pick<LockedPackage, "name" | "version" | "archive" | "pool" | "size" | "sha256">;

/** Fetches what is not there yet. @throws {Error} with what apt said, when one cannot be had or is not what was locked. */
export function fetchPackages(packages: readonly ArchiveFile[]): void {
  const missing = packages.filter(({ sha256 }) => !existsSync(inputPath(sha256)));
  if (missing.length === 0) return;
  if (!existsSync(APT_HELPER))
    throw new Error(
      `Cannot fetch ${missing.length} Debian packages: ${APT_HELPER} is not there; install apt, or put them into ${inputPath("")} under their SHA-256`,
    );
  console.log(`images: fetching ${missing.length} files of Debian (${megabytes(missing)} MB)`);
  using work = createWorkFolder();
  const orders = missing.flatMap(({ archive, pool, sha256 }) => [
    mirrorOf(archive) + pool.replaceAll("+", "%2b").replaceAll("~", "%7e"),
    join(work.path, sha256),
    `SHA256:${sha256}`,
  ]);
  const done = spawnSync(APT_HELPER, ["-o", "APT::Sandbox::User=root", "download-file", ...orders], {
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C" },
    timeout: 600_000,
  });
  if (done.status !== 0) {
    throw new Error(
      `Cannot fetch the locked Debian packages: ${done.error?.message ?? done.stderr.trim()}\n` +
        "A package that was superseded leaves the mirrors: name one that keeps them in IMAGE_DEBIAN_MIRROR and IMAGE_SECURITY_MIRROR, or renew the lock with make lock",
    );
  }
  for (const { name, version, sha256 } of missing)
    keepInput(join(work.path, sha256), "sha256", sha256, `${name} ${version}`);
}

function megabytes(packages: readonly ArchiveFile[]): string {
  return (packages.reduce((sum, { size }) => sum + size, 0) / 1e6).toFixed(1);
}
