// Finds out which vulnerabilities in the images' parts are fixed elsewhere, from changelogs: those of Debian 13's and Debian
// unstable's packages, and of what Node's makers offer. Writes image/known.json, which builds take, and says what is not
// judged in image/triage.json. Needs the mirrors of the machine and npm; no database, no root.
// Usage: tools/node image/scan-vulnerabilities.ts [--check]   with --check: writes nothing
// Ends with 1 when something is not judged, or could be taken and is not.
import { writeFileSync } from "node:fs";
import { type Apt, createApt, stableSources } from "./debian/apt.ts";
import { compareVersions } from "./debian/compare-versions.ts";
import { type OfferedPackage, offeredPackage } from "./debian/offered-package.ts";
import { readTriage } from "./describe/triage.ts";
import { fetchPackages } from "./inputs/fetch-packages.ts";
import { type LockedPackage, readLock } from "./inputs/lock.ts";
import type { ChangelogEntry } from "./scan/changelog.ts";
import { findNamedSince, findUnfixedInPackage, findUnfixedInPart, type Unfixed } from "./scan/find-unfixed.ts";
import {
  type Compared,
  KNOWN_PATH,
  type Known,
  type KnownVulnerability,
  listComparable,
  listFixable,
  listObjections,
} from "./scan/known.ts";
import { type LinkedPart, listLinkedParts } from "./scan/linked-parts.ts";
import { lookUpNode, readOwnNodeChangelog, updateOf } from "./scan/newer-node.ts";
import { readChangelog } from "./scan/read-changelog.ts";

type Sources = ReadonlyMap<string, readonly OfferedPackage[]>;
interface Result {
  readonly compared: Compared;
  readonly found: readonly KnownVulnerability[];
}

process.exitCode = main(process.argv.slice(2));

function main(args: readonly string[]): number {
  if (args.some((arg) => arg !== "--check")) {
    console.error("scan-vulnerabilities: usage is tools/node image/scan-vulnerabilities.ts [--check]");
    return 2;
  }
  const lock = readLock();
  // Sources are the same on both architectures; a package that only one has would be missed, so there are none.
  const locked = lock.packages.filter(
    (each) => each.architecture !== "arm64" && each.sets.some((set) => set !== "test"),
  );
  const parts = listLinkedParts();
  const names = [...locked.map(({ name }) => name), ...parts.flatMap(({ debianPackage }) => debianPackage ?? [])];
  const stable = createApt("amd64", { architecture: "amd64", sources: stableSources(lock.suite) });
  const unstable = createApt("sid", { architecture: "amd64", sources: [{ archive: "debian", suites: ["sid"] }] });
  const offered = { stable: lookUp(stable, names), unstable: lookUp(unstable, names) };
  const results = [...scanPackages(locked, offered), ...scanParts(parts, offered)];

  const known: Known = {
    date: newestOf([...stable.releaseDates(), ...unstable.releaseDates()]),
    found: results.flatMap(({ found }) => found).toSorted(byComponent),
    compared: results.map(({ compared }) => compared).toSorted(byComponent),
  };
  if (!args.includes("--check")) writeFileSync(KNOWN_PATH, `${JSON.stringify(known, null, 1)}\n`);
  return report(known, listObjections(known, readTriage(), listComparable(lock)));
}

function report(known: Known, objections: readonly string[]): number {
  const blind = known.compared.filter((each) => each.with.length === 0);
  const fixable = listFixable(known, readTriage());
  console.log(
    `scan: ${known.compared.length - blind.length} parts compared, ${known.found.length} vulnerabilities known`,
  );
  console.log(`scan: nothing to compare with: ${blind.map(({ component }) => component).join(", ")}`);
  for (const { known: each, finding } of fixable)
    console.log(`scan: not taken since ${finding.waits?.since}: ${each.id} of ${each.component}, ${each.takeable}`);
  console.log(`scan: ${fixable.length} fixable, ${objections.length} objections`);
  for (const objection of objections) console.log(`  ${objection}`);
  return objections.length === 0 ? 0 : 1;
}

function lookUp(apt: Apt, names: readonly string[]): Sources {
  apt.update();
  const sources = new Map<string, OfferedPackage[]>();
  for (const each of apt.show([...new Set(names)]).map(offeredPackage))
    sources.set(each.source, [...(sources.get(each.source) ?? []), each]);
  return new Map([...sources].map(([source, list]) => [source, list.toSorted((a, b) => a.size - b.size)]));
}

function scanPackages(
  locked: readonly LockedPackage[],
  { stable, unstable }: { readonly stable: Sources; readonly unstable: Sources },
): Result[] {
  const own = new Map<string, LockedPackage[]>();
  for (const each of locked) own.set(each.source, [...(own.get(each.source) ?? []), each]);
  const newer = (list: readonly OfferedPackage[] | undefined, version: string): readonly OfferedPackage[] =>
    (list ?? []).filter((each) => compareVersions(each.sourceVersion, version) > 0);
  // In one go: asked for one by one, they take minutes.
  fetchPackages(
    [...own].flatMap(([source, [first]]) => newer(unstable.get(source), first?.sourceVersion ?? "").slice(0, 1)),
  );
  return [...own].map(([source, packages]) => {
    const component = `debian/${source}`;
    const version = packages[0]?.sourceVersion ?? "";
    const lists = { update: newer(stable.get(source), version), unstable: newer(unstable.get(source), version) };
    const updates = lists.update.length === 0 ? [] : readChangelog(lists.update);
    const logs = [updates, lists.unstable.length === 0 ? [] : readChangelog(lists.unstable)];
    const ours = packages.toSorted((a, b) => a.size - b.size);
    const unfixed = logs.flat().length === 0 ? new Map() : findUnfixedInPackage(version, readChangelog(ours), logs);
    const takeable = new Set(updates.flatMap(({ ids }) => ids));
    return {
      compared: { component, version, with: versionsOf(stable.get(source), unstable.get(source)) },
      found: asFound(component, unfixed, (id) => (takeable.has(id) ? lists.update[0]?.sourceVersion : undefined)),
    };
  });
}

function scanParts(
  parts: readonly LinkedPart[],
  { stable, unstable }: { readonly stable: Sources; readonly unstable: Sources },
): Result[] {
  const ownReleases = readOwnNodeChangelog();
  const node = lookUpNode();
  const ours = parts.find(({ component }) => component === "node/node")?.version ?? "";
  const ownRelease = ownReleases.find(({ version }) => version === ours);
  if (ownRelease === undefined)
    throw new Error(`Cannot look for what is newer than Node ${ours}: its changelog lacks it`);
  const newerNodes = Object.entries(node.newest).filter(([, version]) => compareVersions(version, ours) > 0);
  const offer = newerNodes.map(([architecture, version]) => `Node ${version} for ${architecture}`).join(", ");
  const newReleases = node.releases.filter(({ version }) => compareVersions(version, ours) > 0);

  return parts.map(({ component, version, debianPackage }) => {
    // The same source in both: elsewhere a package of that name may come with something of other versions.
    const newest = [...unstable.values()].find((list) => list.some(({ name }) => name === debianPackage));
    const lists = newest === undefined ? [] : [newest, stable.get(newest[0]?.source ?? "")];
    const logs = lists.flatMap((list) => (list === undefined ? [] : [readChangelog(list)]));
    const name = component.replace(/^node\//, "");
    if (component === "node/node") {
      const all: readonly (readonly ChangelogEntry[])[] = [...logs, newReleases, ownReleases];
      const unfixed = findNamedSince(ownRelease.date, all);
      const offered = new Set(newReleases.flatMap(({ ids }) => ids));
      return {
        compared: {
          component,
          version,
          with: [...versionsOf(...lists), ...Object.values(node.newest).map((each) => `npm ${each}`)],
        },
        found: asFound(component, unfixed, (id) => (offered.has(id) ? offer : undefined)),
      };
    }
    const update = component.startsWith("node/") ? updateOf(newReleases, ours, name) : undefined;
    return {
      compared: { component, version, with: versionsOf(...lists) },
      found: asFound(component, findUnfixedInPart(version, logs), () =>
        update === undefined ? undefined : `${offer} (${name} ${update})`,
      ),
    };
  });
}

function asFound(
  component: string,
  unfixed: Unfixed,
  takeable: (id: string) => string | undefined,
): KnownVulnerability[] {
  return [...unfixed].map(([id, fixedIn]) => {
    const offer = takeable(id);
    return { id, component, fixedIn, ...(offer === undefined ? {} : { takeable: offer }) };
  });
}

function versionsOf(...lists: readonly (readonly OfferedPackage[] | undefined)[]): string[] {
  return [...new Set(lists.flatMap((list) => list?.[0]?.sourceVersion ?? []))];
}

function newestOf(dates: readonly Date[]): string {
  const newest = dates.toSorted((a, b) => a.getTime() - b.getTime()).at(-1);
  if (newest === undefined) throw new Error("Cannot say how new this is: apt left no release file");
  return newest.toISOString().slice(0, 10);
}

function byComponent(
  a: { readonly component: string; readonly id?: string },
  b: { readonly component: string; readonly id?: string },
): number {
  const [left, right] = [`${a.component} ${a.id ?? ""}`, `${b.component} ${b.id ?? ""}`];
  return left < right ? -1 : left > right ? 1 : 0;
}
