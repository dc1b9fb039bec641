// What changelogs tell of vulnerabilities that are fixed elsewhere and not in what we have. Pure.
import { compareVersions, upstreamOf } from "../debian/compare-versions.ts";
import type { ChangelogEntry } from "./changelog.ts";

/** Vulnerabilities by id, and the lowest version that is known to be without. */
export type Unfixed = ReadonlyMap<string, string>;

/** Of a Debian package: what newer versions name and its own changelog does not, up to our version.
 * `own` is the changelog that ours came with, `newer` those of other versions of the same source. */
export function findUnfixedInPackage(
  version: string,
  own: readonly ChangelogEntry[],
  newer: readonly (readonly ChangelogEntry[])[],
): Unfixed {
  const fixed = idsOf(own.filter((entry) => compareVersions(entry.version, version) <= 0));
  return collect(
    newer.map((log) => log.filter((entry) => compareVersions(entry.version, version) > 0)),
    fixed,
  );
}

/** Of a copy of an upstream's version in something else's executable, as its Debian packages name them: what a later
 * upstream version fixes, and what Debian patches in the newest version that is not above ours, for upstream had not fixed
 * it there. What any of the changelogs has fixed by taking an upstream version up to ours is fixed in ours. */
export function findUnfixedInPart(version: string, logs: readonly (readonly ChangelogEntry[])[]): Unfixed {
  const sorted = logs.map((log) => sortEntries(version, log));
  return collect(
    sorted.map(({ open }) => open),
    idsOf(sorted.flatMap(({ fixed }) => fixed)),
  );
}

function sortEntries(
  version: string,
  log: readonly ChangelogEntry[],
): { readonly open: readonly ChangelogEntry[]; readonly fixed: readonly ChangelogEntry[] } {
  const upstream = (entry: ChangelogEntry): string => upstreamOf(entry.version);
  const notAbove = log.filter((entry) => compareVersions(upstream(entry), version) <= 0);
  const series = notAbove.map(upstream).toSorted(compareVersions).at(-1);
  // Changelogs have the newest first: the last entry of an upstream version is the one that brought it.
  const brought = new Set(new Map(notAbove.map((entry) => [upstream(entry), entry])).values());
  const isPatch = (entry: ChangelogEntry): boolean => upstream(entry) === series && !brought.has(entry);
  return {
    open: log.filter((entry) => !notAbove.includes(entry) || isPatch(entry)),
    fixed: notAbove.filter((entry) => !isPatch(entry)),
  };
}

/** Of something whose versions are not those of the changelogs: what was named after the day of ours, and not before it.
 * A fix comes to all lines of releases on one day. */
export function findNamedSince(day: Date, logs: readonly (readonly ChangelogEntry[])[]): Unfixed {
  const isLater = ({ date }: ChangelogEntry): boolean => date.getTime() > day.getTime();
  return collect(
    logs.map((log) => log.filter(isLater)),
    idsOf(logs.flat().filter((entry) => !isLater(entry))),
  );
}

function idsOf(entries: readonly ChangelogEntry[]): ReadonlySet<string> {
  return new Set(entries.flatMap(({ ids }) => ids));
}

function collect(logs: readonly (readonly ChangelogEntry[])[], fixed: ReadonlySet<string>): Unfixed {
  const found = new Map<string, string>();
  for (const { ids, version } of logs.flat())
    for (const id of ids) {
      const known = found.get(id);
      if (!fixed.has(id) && (known === undefined || compareVersions(version, known) < 0)) found.set(id, version);
    }
  return found;
}
