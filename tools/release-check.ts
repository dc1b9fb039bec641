// Whether a tag may become a release: every place that names the version names this one, and the changelog tells of it. Pure.

/** The texts that are looked at. */
export interface ReleaseTexts {
  readonly packageJson: string;
  readonly packageLock: string;
  readonly chart: string;
  readonly changelog: string;
}

/** One sentence for each thing that does not fit the tag, which is `v` and the version; empty: it may be released. */
export function checkRelease(tag: string, texts: ReleaseTexts): readonly string[] {
  const [, version] = /^v(\d+\.\d+\.\d+)$/.exec(tag) ?? [];
  if (version === undefined) return [`${tag} is no tag of a release: vX.Y.Z is accepted`];
  const named: readonly (readonly [string, string | undefined])[] = [
    ["package.json", versionIn(texts.packageJson)],
    ["package-lock.json", versionIn(texts.packageLock)],
    ["version of chart/Chart.yaml", /^version: (\S+)$/m.exec(texts.chart)?.[1]],
    ["appVersion of chart/Chart.yaml", /^appVersion: "?([^"\s]+)"?$/m.exec(texts.chart)?.[1]],
  ];
  const heads = [...texts.changelog.matchAll(/^## (\S+)/gm)].map(([, head]) => head);
  return [
    ...named.filter(([, found]) => found !== version).map(([where, found]) => `${where} says ${found}, not ${version}`),
    ...(heads.includes(version) ? [] : [`CHANGELOG.md has no part "## ${version}"`]),
  ];
}

/** What the changelog tells of a version, without its heading; empty: nothing. */
export function readNotes(changelog: string, version: string): string {
  const parts = changelog.split(/^## /m);
  const part = parts.find((each) => each.startsWith(version) && /^\s/.test(each.slice(version.length))) ?? "";
  return part.replace(/^.*\n+/, "");
}

function versionIn(json: string): string | undefined {
  const value: unknown = JSON.parse(json);
  const version = typeof value === "object" && value !== null && "version" in value ? value.version : undefined;
  return typeof version === "string" ? version : undefined;
}
