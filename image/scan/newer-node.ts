// Node as npm offers it for both architectures, and what the changelog in its package tells of what came after ours.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { readTar } from "../archive/read-tar.ts";
import { compareVersions } from "../debian/compare-versions.ts";
import { readInput } from "../inputs/cache.ts";
import { ARCHITECTURES, type Architecture } from "../inputs/lock.ts";
import { fetchNpmPackages, type NpmPackage, npmInputs } from "../inputs/npm-packages.ts";
import { cleanVersion } from "./linked-parts.ts";

export interface NodeRelease {
  readonly version: string;
  readonly date: Date;
  readonly ids: readonly string[];
  /** What it updated, by the name that the changelog uses, in small letters. */
  readonly updates: ReadonlyMap<string, string>;
}

/** Releases of a changelog of Node, the newest first. @throws {Error} when there is none in it. */
export function parseNodeChangelog(text: string): NodeRelease[] {
  const sections = text.split(/^## (?=\d{4}-\d\d-\d\d, Version )/m).slice(1);
  const releases = sections.flatMap((section) => {
    const [, date = "", version] = /^(\d{4}-\d\d-\d\d), Version (\d+\.\d+\.\d+)/.exec(section) ?? [];
    if (version === undefined) return [];
    const updates = [
      ...section.matchAll(/\*\*deps\*\*: (?:update|upgrade) ([\w-]+)(?: sources)? to (?:[a-z]+-)?v?(\d[\d.]*\d)/gi),
    ].map(([, name = "", to = ""]) => [name.toLowerCase(), to] as const);
    return [
      {
        version,
        date: new Date(`${date}T00:00:00Z`),
        ids: [...new Set(section.match(/\bCVE-\d{4}-\d{4,}\b/g) ?? [])],
        // The last one named is the first that was made: the first is what it has.
        updates: new Map(updates.toReversed()),
      },
    ];
  });
  if (releases.length === 0) throw new Error("Cannot read Node's changelog: it names no release");
  return releases;
}

/** The newest version on npm of each architecture's package, and the changelog of the newest of them.
 * @throws {Error} with what npm said. */
export function lookUpNode(): {
  readonly newest: Readonly<Record<Architecture, string>>;
  readonly releases: readonly NodeRelease[];
} {
  const packages = ARCHITECTURES.map((architecture) => {
    const { name } = npmInputs(architecture).node;
    const { "dist-tags": tags } = askNpm(name, "dist-tags") as { "dist-tags": { latest: string } };
    return { architecture, name, version: tags.latest };
  });
  const last = packages.toSorted((a, b) => compareVersions(a.version, b.version)).at(-1);
  if (last === undefined) throw new Error("Cannot look Node up: no architecture");
  const newest = Object.fromEntries(packages.map(({ architecture, version }) => [architecture, version]));
  return {
    newest: newest as Record<Architecture, string>,
    releases: parseNodeChangelog(readNodeChangelog(last.name, last.version)),
  };
}

/** Of the Node that is pinned, out of the package that it came in. */
export function readOwnNodeChangelog(): readonly NodeRelease[] {
  return parseNodeChangelog(readFileSync(join(dirname(process.execPath), "../CHANGELOG.md"), "utf8"));
}

function readNodeChangelog(name: string, version: string): string {
  const { dist } = askNpm(`${name}@${version}`, "dist") as { dist: { integrity: string } };
  const sha512 = Buffer.from(dist.integrity.replace(/^sha512-/, ""), "base64").toString("hex");
  const pkg: NpmPackage = { name, version, sha512 };
  fetchNpmPackages([pkg]);
  const entries = readTar(gunzipSync(readInput("sha512", sha512, `${name} ${version}`)));
  const file = entries.find(({ path }) => path === "package/CHANGELOG.md");
  if (file === undefined) throw new Error(`Cannot read the changelog of ${name} ${version}: its package has none`);
  return new TextDecoder().decode(file.content);
}

/** One field of a package, as npm tells it. */
function askNpm(name: string, field: string): unknown {
  const done = spawnSync("npm", ["view", "--json", name, "name", field], { encoding: "utf8", timeout: 120_000 });
  if (done.status !== 0) throw new Error(`Cannot ask npm for ${name}: ${done.error?.message ?? done.stderr}`);
  return JSON.parse(done.stdout);
}

/** The version of a part in a release after ours, where the changelog tells. */
export function updateOf(releases: readonly NodeRelease[], ours: string, part: string): string | undefined {
  const newer = releases.filter(({ version }) => compareVersions(version, ours) > 0);
  const found = newer.find(({ updates }) => updates.has(CHANGELOG_NAMES[part] ?? part));
  const version = found?.updates.get(CHANGELOG_NAMES[part] ?? part);
  return version === undefined ? undefined : cleanVersion(version);
}

/** Where the changelog says another name than `process.versions`. */
const CHANGELOG_NAMES: Readonly<Record<string, string>> = { ares: "c-ares", uv: "libuv" };
