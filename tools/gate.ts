// The checks both `npm run ok` and `make test` begin with: types, lint and format, import law, own checks on the tree.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkImportLaw, type Violation } from "./import-law.ts";
import { listTree } from "./list-tree.ts";
import { checkTree } from "./tree-check.ts";

const root = join(import.meta.dirname, "..");

/** Runs one step, says that it does, how it ended and how long it took. */
export function runStep(name: string, run: () => boolean): boolean {
  console.log(`${name} …`);
  const started = performance.now();
  const passed = run();
  console.log(`${passed ? "ok" : "FAILED"} ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  // Once more where people look in the end: hundreds of tests come after it.
  if (!passed) process.on("exit", () => console.error(`FAILED ${name}: see above`));
  return passed;
}

/** Runs all checks, also after one has failed; true when all passed. */
export function runGate(): boolean {
  const results = [
    runStep("types", () => execute(["tools/node", "node_modules/typescript/bin/tsc", "-p", "."])),
    runStep("lint and format", () => execute(["node_modules/.bin/biome", "check", "--error-on-warnings", "."])),
    runStep("import law", () => report(checkImportLaw(sources()))),
    runStep("tree", () => report(checkTree(sources()))),
  ];
  return results.every((passed) => passed);
}

/** Runs a program in the project's root with our own output. */
export function execute(argv: readonly string[]): boolean {
  const [file = "", ...args] = argv;
  return spawnSync(file, args, { cwd: root, stdio: "inherit" }).status === 0;
}

function report(violations: readonly Violation[]): boolean {
  for (const { path, line, message } of violations) console.error(`${path}:${line}: ${message}`);
  return violations.length === 0;
}

/** What is text. */
function sources(): { path: string; text: string }[] {
  return listTree()
    .filter((path) => /\.(ts|c|h|md|json|sh|yaml|yml|proto|txt)$|Makefile$|^tools\/|^\.ci\//.test(path))
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}
