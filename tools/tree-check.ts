// Checks of our own on the tree: sizes, leftovers, hosts that may not be named. Pure, as import-law.ts.
import type { SourceFile, Violation } from "./import-law.ts";
import { replaceSourceIndex } from "./source-index.ts";

const MAX_LINES = 400;
/** A file that has a reason to be longer says so in its first lines. */
const LONG_FILE_REASON = /long because/i;
const MARKS = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "XX" + "X"].join("|")})\\b`);
const SILENCERS = new RegExp(`@ts-${"(ignore|nocheck|expect-error)"}|biome-${"ignore"}`);
const RUN_ALONE = /\b(?:test|it|describe)\.(?:only|skip|todo)\(|\bskip: *true/;
/** Package registries are settings of the machine: their hosts do not belong into files. */
const REGISTRY_HOST = new RegExp(
  [
    "registry\\.npmjs\\.",
    "pypi\\.",
    "pythonhosted\\.",
    "proxy\\.golang\\.",
    "deb\\.debian\\.",
    "security\\.debian\\.",
  ].join("|"),
);

/** Checks every source file; documents only for hosts, and ARCHITECTURE.md for the names of all files. */
export function checkTree(files: readonly SourceFile[]): Violation[] {
  return [...checkFiles(files), ...checkSourceIndex(files)];
}

function checkSourceIndex(files: readonly SourceFile[]): Violation[] {
  const page = files.find(({ path }) => path === "ARCHITECTURE.md");
  const paths = files.map(({ path }) => path);
  if (page === undefined || page.text === replaceSourceIndex(page.text, paths)) return [];
  const message = "Bad index: it is stale; `tools/node tools/render-source-index.ts` writes it";
  return [{ path: page.path, line: page.text.split("\n").length, message }];
}

function checkFiles(files: readonly SourceFile[]): Violation[] {
  return files.flatMap(({ path, text }) => {
    const violations: Violation[] = [];
    const lines = text.split("\n");
    const isCode = /\.(ts|c|h)$/.test(path);
    if (isCode && lines.length > MAX_LINES + 1 && !LONG_FILE_REASON.test(lines.slice(0, 8).join("\n"))) {
      violations.push({
        path,
        line: lines.length,
        message: `Bad size: ${lines.length} lines, at most ${MAX_LINES} without a reason at the head ("Long because ...")`,
      });
    }
    lines.forEach((line, index) => {
      const report = (message: string): void => void violations.push({ path, line: index + 1, message });
      if (isCode && MARKS.test(line)) report("Bad mark: open ends belong into an issue");
      if (path.endsWith(".ts") && SILENCERS.test(line))
        report("Bad silence: the checker is right or its rule is changed for all");
      if (path.endsWith(".test.ts") && RUN_ALONE.test(line)) report("Bad test: it is skipped or run alone");
      if (path !== "tools/tree-check.ts" && REGISTRY_HOST.test(line))
        report("Bad host: package registries are not named in files");
    });
    return violations;
  });
}
