// Stock cosign, from the Debian package that the lock names; unpacked into the cache, not installed.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, renameSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder, inputPath } from "../../image/inputs/cache.ts";
import { fetchPackages } from "../../image/inputs/fetch-packages.ts";
import { packagesOf, readLock } from "../../image/inputs/lock.ts";
import { NATIVE_ARCHITECTURE } from "./built-images.ts";

/** Path of the program. @throws {Error} when the package cannot be had. */
export function findCosign(): string {
  const locked = packagesOf(readLock(), "test", NATIVE_ARCHITECTURE).find(({ name }) => name === "cosign");
  if (locked === undefined) throw new Error("Cannot verify signatures: the lock has no cosign");
  const folder = join(cacheFolder("tools"), `cosign-${locked.sha256.slice(0, 16)}`);
  if (!existsSync(folder)) {
    fetchPackages([locked]);
    const unpacked = mkdtempSync(`${folder}-`);
    execFileSync("dpkg-deb", ["--extract", inputPath(locked.sha256), unpacked], { timeout: 120_000 });
    // Another test may have been faster: the same content.
    if (!existsSync(folder)) renameSync(unpacked, folder);
  }
  return join(folder, "usr/bin/cosign");
}
