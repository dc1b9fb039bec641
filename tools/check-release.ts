// Run by the release workflow: `tools/node tools/check-release.ts vX.Y.Z` ends with 1 and says what does not fit the tag, or prints
// the release's notes from the changelog.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkRelease, readNotes } from "./release-check.ts";

const read = (path: string): string => readFileSync(join(import.meta.dirname, "..", path), "utf8");
const [tag = ""] = process.argv.slice(2);
const changelog = read("CHANGELOG.md");
const complaints = checkRelease(tag, {
  packageJson: read("package.json"),
  packageLock: read("package-lock.json"),
  chart: read("chart/Chart.yaml"),
  changelog,
});
for (const complaint of complaints) console.error(`check-release: ${complaint}`);
if (complaints.length === 0) console.log(readNotes(changelog, tag.slice(1)).trimEnd());
process.exitCode = complaints.length === 0 ? 0 : 1;
