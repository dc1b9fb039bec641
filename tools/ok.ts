// The one gate: types, lint and format, import law, own checks, unit tests. Prints what failed and ends with 1.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkImportLaw, type Violation } from "./import-law.ts";
import { checkTree } from "./tree-check.ts";

const root = join(import.meta.dirname, "..");

/** Unit and golden tests: anywhere, in seconds, without root. */
const UNIT_TESTS = ["src/**/*.test.ts", "tools/**/*.test.ts", "testbed/**/*.test.ts"];

interface Step {
  readonly name: string;
  readonly run: () => boolean;
}

const steps: Step[] = [
  { name: "types", run: () => execute(["tools/node", "node_modules/typescript/bin/tsc", "-p", "."]) },
  { name: "lint and format", run: () => execute(["node_modules/.bin/biome", "check", "--error-on-warnings", "."]) },
  { name: "import law", run: () => report(checkImportLaw(sources())) },
  { name: "tree", run: () => report(checkTree(sources())) },
  { name: "unit tests", run: () => execute(["tools/node", "--test", ...UNIT_TESTS]) },
];

let failed = false;
for (const { name, run } of steps) {
  const started = performance.now();
  const passed = run();
  console.log(`${passed ? "ok" : "FAILED"} ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  failed ||= !passed;
}
process.exitCode = failed ? 1 : 0;

function execute(argv: readonly string[]): boolean {
  const [file = "", ...args] = argv;
  return spawnSync(file, args, { cwd: root, stdio: "inherit" }).status === 0;
}

function report(violations: readonly Violation[]): boolean {
  for (const { path, line, message } of violations) console.error(`${path}:${line}: ${message}`);
  return violations.length === 0;
}

/** Every file git knows or would add. */
function sources(): { path: string; text: string }[] {
  const listed = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  });
  if (listed.status !== 0) throw new Error(`Cannot list the tree: ${listed.stderr}`);
  return listed.stdout
    .split("\0")
    .filter((path) => /\.(ts|c|h|md|json|sh|yaml|yml|proto|txt)$|Makefile$|^tools\/|^\.ci\//.test(path))
    .flatMap((path) => {
      try {
        return [{ path, text: readFileSync(join(root, path), "utf8") }];
      } catch {
        return []; // deleted in the work tree, not yet in the index
      }
    });
}
