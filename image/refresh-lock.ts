// Renews image/lock.json from what Debian offers now, with apt in a state of its own: signatures and expiry of the
// release files are checked by apt, and nothing of the machine's packages is touched. Needs no root.
// Usage: tools/node image/refresh-lock.ts [--check]   with --check: writes nothing, ends with 1 when something is newer
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseStanzas, type Stanza } from "./debian/control.ts";
import { cacheFolder } from "./inputs/cache.ts";
import {
  ARCHITECTURES,
  type Architecture,
  LOCK_PATH,
  type Lock,
  type LockedPackage,
  PACKAGE_SETS,
  type PackageSet,
  parseLock,
  readLock,
} from "./inputs/lock.ts";
import { mirrorOf } from "./inputs/mirrors.ts";
import { WANTED_PACKAGES } from "./package-sets.ts";

const SUITE = "trixie";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

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
    const apt = createApt(architecture);
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

function createApt(architecture: Architecture): {
  update(): void;
  releaseDates(): Date[];
  withDependencies(names: readonly string[]): string[];
  show(names: readonly string[]): Stanza[];
} {
  const folder = join(cacheFolder("apt"), architecture);
  for (const name of ["lists/partial", "cache/archives/partial"]) mkdirSync(join(folder, name), { recursive: true });
  const sources = join(folder, "image.sources");
  const source = (uri: string, suites: string): string =>
    `Types: deb\nURIs: ${uri}\nSuites: ${suites}\nComponents: main\nSigned-By: ${KEYRING}\n`;
  writeFileSync(
    sources,
    [
      source(mirrorOf("debian"), `${SUITE} ${SUITE}-updates`),
      source(mirrorOf("debian-security"), `${SUITE}-security`),
    ].join("\n"),
  );
  const settings = {
    "APT::Architecture": architecture,
    "APT::Architectures::": architecture,
    "APT::Sandbox::User": "root",
    "Dir::Etc::sourcelist": sources,
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::Etc::preferencesparts": "/dev/null",
    "Dir::State": folder,
    "Dir::State::lists": join(folder, "lists"),
    "Dir::State::status": "/dev/null",
    "Dir::Cache": join(folder, "cache"),
    "Acquire::Languages": "none",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  const run = (program: string, ...args: readonly string[]): string => {
    const done = spawnSync(program, [...options, ...args], {
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C" },
      timeout: 300_000,
      maxBuffer: 64 * 1024 * 1024,
    });
    if (done.status !== 0)
      throw new Error(`Cannot renew the lock: ${program} ${args[0]} ended with ${done.status}\n${done.stderr}`);
    return done.stdout;
  };
  return {
    // Errors of a source are errors here, not warnings: an old list would give an old lock.
    update: () => void run("apt-get", "-o", "APT::Update::Error-Mode=any", "update"),
    releaseDates: () =>
      readdirSync(join(folder, "lists"))
        .filter((name) => name.endsWith("_InRelease"))
        .map((name) => {
          const date = /^Date: (.*)$/m.exec(readFileSync(join(folder, "lists", name), "utf8"))?.[1];
          return new Date(date ?? Number.NaN);
        }),
    withDependencies: (names) =>
      run("apt-get", "install", "--simulate", "--no-install-recommends", ...names)
        .split("\n")
        .flatMap((line) => /^Inst (\S+)/.exec(line)?.[1]?.replace(/:\w+$/, "") ?? []),
    show: (names) => parseStanzas(run("apt-cache", "show", "--no-all-versions", ...names)),
  };
}

function lockedPackage(stanza: Stanza, sets: readonly PackageSet[]): LockedPackage {
  const field = (name: string): string => {
    const value = stanza.get(name);
    if (value === undefined) throw new Error(`Cannot lock ${stanza.get("Package")}: it has no ${name}`);
    return value;
  };
  const pool = field("Filename");
  const [, source, sourceVersion] = /^(\S+)(?: \((.*)\))?$/.exec(stanza.get("Source") ?? field("Package")) ?? [];
  return {
    name: field("Package"),
    version: field("Version"),
    architecture: field("Architecture") as LockedPackage["architecture"],
    source: source ?? field("Package"),
    sourceVersion: sourceVersion ?? field("Version"),
    archive: pool.startsWith("pool/updates/") ? "debian-security" : "debian",
    pool,
    size: Number(field("Size")),
    sha256: field("SHA256"),
    sets,
  };
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
