// The lock of what comes from Debian: which package in which version, where in the archive, and its hash. What comes from
// npm is locked by package-lock.json (npm-packages.ts). No host is named: a mirror is a setting of the machine (mirrors.ts).
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const ARCHITECTURES = ["amd64", "arm64"] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

/** What packages are taken for: every image, the FIPS images, the dev images, the tests of images. */
export const PACKAGE_SETS = ["runtime", "fips", "dev", "test"] as const;
export type PackageSet = (typeof PACKAGE_SETS)[number];

/** Debian's two archives: the second one has the security updates. */
export type ArchiveName = "debian" | "debian-security";

export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: Architecture | "all";
  /** The source package it was built from, and its version. */
  readonly source: string;
  readonly sourceVersion: string;
  readonly archive: ArchiveName;
  /** Path below the archive's root. */
  readonly pool: string;
  readonly size: number;
  readonly sha256: string;
  readonly sets: readonly PackageSet[];
}

export interface Lock {
  readonly suite: string;
  /** Date of the newest release file that the packages were looked up in, as YYYY-MM-DD. */
  readonly date: string;
  readonly packages: readonly LockedPackage[];
}

/** Where the lock lies in the checkout. */
export const LOCK_PATH = join(import.meta.dirname, "../lock.json");

/** @throws {Error} that names the entry and what is wrong with it. */
export function parseLock(value: unknown): Lock {
  const { suite, date, packages } = asRecord(value, "lock");
  if (typeof suite !== "string" || typeof date !== "string" || !/^\d{4}-\d\d-\d\d$/.test(date))
    throw new Error("Cannot use the lock: it has no suite or no date as YYYY-MM-DD");
  if (!Array.isArray(packages)) throw new Error("Cannot use the lock: packages is no list");
  return { suite, date, packages: packages.map(parsePackage) };
}

export function readLock(path: string = LOCK_PATH): Lock {
  return parseLock(JSON.parse(readFileSync(path, "utf8")));
}

/** The packages of a set on an architecture, in the order of the lock. */
export function packagesOf(lock: Lock, set: PackageSet, architecture: Architecture): readonly LockedPackage[] {
  return lock.packages.filter(
    (each) => each.sets.includes(set) && (each.architecture === "all" || each.architecture === architecture),
  );
}

function parsePackage(value: unknown): LockedPackage {
  const fields = asRecord(value, "package");
  const text = (name: string, pattern: RegExp): string => {
    const field = fields[name];
    if (typeof field !== "string" || !pattern.test(field))
      throw new Error(`Cannot use the lock: ${name} of ${String(fields["name"])} is ${JSON.stringify(field)}`);
    return field;
  };
  const { size, sets } = fields;
  const name = text("name", /^[a-z0-9][a-z0-9.+-]+$/);
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size <= 0)
    throw new Error(`Cannot use the lock: size of ${name} is ${String(size)}`);
  if (!Array.isArray(sets) || sets.length === 0 || !sets.every(isPackageSet))
    throw new Error(`Cannot use the lock: sets of ${name} are ${JSON.stringify(sets)}, not ${PACKAGE_SETS.join(", ")}`);
  return {
    name,
    version: text("version", /^[0-9][A-Za-z0-9.+~:-]*$/),
    architecture: text("architecture", /^(amd64|arm64|all)$/) as LockedPackage["architecture"],
    source: text("source", /^[a-z0-9][a-z0-9.+-]+$/),
    sourceVersion: text("sourceVersion", /^[0-9][A-Za-z0-9.+~:-]*$/),
    archive: text("archive", /^debian(-security)?$/) as ArchiveName,
    // Nothing that leaves the archive: no host, no "..", no query.
    pool: text("pool", /^pool\/(?!.*\.\.)[A-Za-z0-9._+~/-]+\.deb$/),
    size,
    sha256: text("sha256", /^[0-9a-f]{64}$/),
    sets,
  };
}

function isPackageSet(value: unknown): value is PackageSet {
  return PACKAGE_SETS.some((name) => name === value);
}

function asRecord(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(`Cannot use the lock: a ${what} is no object`);
  return { ...value };
}
