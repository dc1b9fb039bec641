// One Debian package: its control data, its maintainer scripts and its files, read with dpkg-deb and nothing executed.
import { spawnSync } from "node:child_process";
import { readTar, type TarEntry } from "../archive/read-tar.ts";
import { inputPath, readInput } from "../inputs/cache.ts";
import type { LockedPackage } from "../inputs/lock.ts";
import { parseStanzas, type Stanza } from "./control.ts";

export interface DebianPackage {
  readonly locked: LockedPackage;
  readonly control: Stanza;
  /** Control archive without the stanza itself: md5sums, conffiles, maintainer scripts. By name. */
  readonly controlFiles: ReadonlyMap<string, TarEntry>;
  readonly files: readonly TarEntry[];
}

/** @throws {Error} when the cached file is not the locked one, or is no Debian package. */
export function readPackage(locked: LockedPackage): DebianPackage {
  readInput("sha256", locked.sha256, `${locked.name} ${locked.version}`);
  const path = inputPath(locked.sha256);
  const entries = readTar(dpkgDeb("--ctrl-tarfile", path)).filter(({ kind }) => kind === "file");
  const control = entries.find((entry) => entry.path === "control");
  const [stanza] = control === undefined ? [] : parseStanzas(new TextDecoder().decode(control.content));
  if (stanza?.get("Package") !== locked.name || stanza.get("Version") !== locked.version)
    throw new Error(
      `Cannot use ${locked.name} ${locked.version}: the package says it is ${stanza?.get("Package")} ${stanza?.get("Version")}`,
    );
  return {
    locked,
    control: stanza,
    controlFiles: new Map(entries.filter((entry) => entry !== control).map((entry) => [entry.path, entry])),
    files: readFiles(path),
  };
}

/** What the package at a path installs. @throws {Error} when it is no Debian package. */
export function readFiles(path: string): readonly TarEntry[] {
  return readTar(dpkgDeb("--fsys-tarfile", path));
}

function dpkgDeb(option: string, path: string): Uint8Array {
  const done = spawnSync("dpkg-deb", [option, path], { timeout: 120_000, maxBuffer: 512 * 1024 * 1024 });
  if (done.status !== 0) throw new Error(`Cannot read ${path}: ${done.error?.message ?? done.stderr.toString()}`);
  return done.stdout;
}
