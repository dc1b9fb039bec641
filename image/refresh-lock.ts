// Renews image/lock.json from what Debian offers now (debian/apt.ts). Needs no root.
// Usage: tools/node image/refresh-lock.ts [--check]   with --check: writes nothing, ends with 1 when something is newer
import { writeFileSync } from "node:fs";
import { createApt, stableSources } from "./debian/apt.ts";
import type { Stanza } from "./debian/control.ts";
import { offeredPackage } from "./debian/offered-package.ts";
import {
  ARCHITECTURES,
  LOCK_PATH,
  type Lock,
  type LockedPackage,
  PACKAGE_SETS,
  type PackageSet,
  parseLock,
  readLock,
} from "./inputs/lock.ts";
import { WANTED_PACKAGES } from "./package-sets.ts";

const SUITE = "trixie";

process.exitCode = main(process.argv.slice(2));

function main(args: readonly string[]): number {
  if (args.some((arg) => arg !== "--check")) {
    console.error("refresh-lock: usage is tools/node image/refresh-lock.ts [--check]");
    return 2;
  }
  const { packages, dates } = lookUp();
  const newest = dates.toSorted((a, b) => a.getTime() - b.getTime()).at(-1);
  if (newest === undefined) throw new Error("Cannot renew the lock: apt left no release file");
  const lock: Lock = parseLock({ suite: SUITE, date: newest.toISOString().slice(0, 10), packages });
  const changes = describeChanges(readOld(), lock);
  for (const line of changes) console.log(line);
  console.log(`refresh-lock: ${lock.packages.length} packages, ${changes.length} changes`);
  if (args.includes("--check")) return changes.length === 0 ? 0 : 1;
  if (changes.length > 0) writeFileSync(LOCK_PATH, `${JSON.stringify(lock, null, 2)}\n`);
  return 0;
}

function lookUp(): { readonly packages: readonly LockedPackage[]; readonly dates: readonly Date[] } {
  const found = new Map<string, { stanza: Stanza; sets: Set<PackageSet> }>();
  const dates: Date[] = [];
  for (const architecture of ARCHITECTURES) {
    const apt = createApt(architecture, { architecture, sources: stableSources(SUITE) });
    apt.update();
    dates.push(...apt.releaseDates());
    for (const set of PACKAGE_SETS) {
      const { names, dependencies } = WANTED_PACKAGES[set];
      const wanted = dependencies === "exact" ? names : apt.withDependencies(names);
      for (const stanza of apt.show(wanted)) {
        const key = `${stanza.get("Package")}/${stanza.get("Architecture")}`;
        const entry = found.get(key) ?? { stanza, sets: new Set() };
        entry.sets.add(set);
        found.set(key, entry);
      }
    }
  }
  const packages = [...found.values()].map(({ stanza, sets }) => lockedPackage(stanza, [...sets]));
  return { packages: packages.toSorted((a, b) => compare(keyOf(a), keyOf(b))), dates };
}

function lockedPackage(stanza: Stanza, sets: readonly PackageSet[]): LockedPackage {
  const { name, version, source, sourceVersion, archive, pool, size, sha256 } = offeredPackage(stanza);
  const architecture = stanza.get("Architecture") as LockedPackage["architecture"];
  return { name, version, architecture, source, sourceVersion, archive, pool, size, sha256, sets };
}

function readOld(): Lock | undefined {
  try {
    return readLock();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** One line for each package that came, went or changed. */
function describeChanges(old: Lock | undefined, lock: Lock): string[] {
  const before = new Map((old?.packages ?? []).map((each) => [keyOf(each), each]));
  const after = new Map(lock.packages.map((each) => [keyOf(each), each]));
  return [...new Set([...before.keys(), ...after.keys()])].toSorted(compare).flatMap((key) => {
    const [from, to] = [before.get(key), after.get(key)];
    if (JSON.stringify(from) === JSON.stringify(to)) return [];
    return [`${key}: ${from?.version ?? "none"} -> ${to?.version ?? "none"}`];
  });
}

function keyOf({ name, architecture }: LockedPackage): string {
  return `${name}/${architecture}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
