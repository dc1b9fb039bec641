// Every link of the built site leads to a page or file of it, and to a heading that is there; links to elsewhere are counted only.
// Usage: tools/node site/check-links.ts
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const SITE = join(import.meta.dirname, "dist");
const ATTRIBUTE = /<(?:a|img|link|script)\b[^>]*?\s(?:href|src)="([^"]*)"/g;

const pages = new Map(
  globSync("**/*.html", { cwd: SITE }).map((path) => [path, readFileSync(join(SITE, path), "utf8")]),
);
const dead: string[] = [];
const counts = { inside: 0, elsewhere: 0 };

for (const [path, html] of pages) {
  for (const [, raw = ""] of html.matchAll(ATTRIBUTE)) {
    if (/^(?:[a-z]+:|\/\/)/.test(raw)) {
      counts.elsewhere++;
      continue;
    }
    counts.inside++;
    if (!isThere(path, decodeURI(raw.replaceAll("&amp;", "&")))) dead.push(`${path}: ${raw}`);
  }
}
for (const each of dead) console.error(`check-links: dead: ${each}`);
console.log(
  `check-links: ${pages.size} pages, ${counts.inside} links inside, ${counts.elsewhere} elsewhere, ${dead.length} dead`,
);
process.exitCode = dead.length > 0 || pages.size < 40 || counts.inside < 1000 ? 1 : 0;

function isThere(from: string, link: string): boolean {
  const [target = "", anchor = ""] = link.replace(/\?[^#]*/, "").split("#");
  const path = target === "" ? from : normalize(target.startsWith("/") ? target.slice(1) : join(dirname(from), target));
  const found = [path, `${path}.html`, join(path, "index.html")].find(
    (each) => /\.\w+$/.test(each) && existsSync(join(SITE, each)),
  );
  if (found === undefined) return false;
  return anchor === "" || !found.endsWith(".html") || (pages.get(found)?.includes(` id="${anchor}"`) ?? false);
}
