// The changelog of a Debian source package, out of one of its binary packages: mirrors have those, and not always sources.
import { gunzipSync } from "node:zlib";
import type { OfferedPackage } from "../debian/offered-package.ts";
import { readFiles } from "../debian/read-package.ts";
import { inputPath, readInput } from "../inputs/cache.ts";
import { fetchPackages } from "../inputs/fetch-packages.ts";
import { type ChangelogEntry, parseChangelog } from "./changelog.ts";

/** Of packages of one source, tried in order, for some have a link to another's documentation in place of their own.
 * @throws {Error} when none of them has a changelog. */
export function readChangelog(packages: readonly OfferedPackage[]): ChangelogEntry[] {
  for (const each of packages) {
    fetchPackages([each]);
    readInput("sha256", each.sha256, `${each.name} ${each.version}`);
    const file = readFiles(inputPath(each.sha256)).find(
      ({ kind, path }) =>
        kind === "file" && /^usr\/share\/doc\/[^/]+\/changelog(\.Debian)?\.gz$/.test(path) && !isUpstreams(path, each),
    );
    if (file !== undefined) return parseChangelog(gunzipSync(file.content).toString());
  }
  throw new Error(
    `Cannot find the changelog of ${packages[0]?.source}: none of ${packages.map(({ name }) => name).join(", ")} has one`,
  );
}

/** Beside `changelog.Debian.gz`, `changelog.gz` is upstream's; in a package of Debian's own making it is the only one. */
function isUpstreams(path: string, { sourceVersion }: OfferedPackage): boolean {
  return path.endsWith("/changelog.gz") && sourceVersion.includes("-");
}
