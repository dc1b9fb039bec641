// Debian changelogs (deb-changelog(5)): which version names which vulnerabilities.

export interface ChangelogEntry {
  readonly version: string;
  readonly ids: readonly string[];
  readonly date: Date;
}

/** The entries, the newest first. @throws {Error} for a text without any entry, or one without a valid date. */
export function parseChangelog(text: string): ChangelogEntry[] {
  const entries: ChangelogEntry[] = [];
  let version: string | undefined;
  let ids = new Set<string>();
  for (const line of text.split("\n")) {
    const head = /^[a-z0-9][a-z0-9.+-]* \(([^)\s]+)\)/i.exec(line)?.[1];
    if (head !== undefined) {
      version = head;
      ids = new Set();
      continue;
    }
    const end = /^ -- .*?> +(.*)$/.exec(line)?.[1];
    if (end !== undefined && version !== undefined) {
      const date = new Date(end);
      if (Number.isNaN(date.getTime())) throw new Error(`Cannot read a changelog: the date of ${version} is "${end}"`);
      entries.push({ version, ids: [...ids], date });
      version = undefined;
      continue;
    }
    for (const id of line.match(/\bCVE-\d{4}-\d{4,}\b/g) ?? []) ids.add(id);
  }
  if (entries.length === 0) throw new Error("Cannot read a changelog: it has no entry");
  return entries;
}
