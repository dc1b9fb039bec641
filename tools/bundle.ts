// Bundles the agent into one file: fewer files to open at start, and nothing of TypeScript at run time.
// Usage: tools/node tools/bundle.ts OUTPUT
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..");
const [output] = process.argv.slice(2);
if (output === undefined) throw new TypeError("Cannot bundle: usage is tools/node tools/bundle.ts OUTPUT");

await build({
  entryPoints: [join(root, "src/cmd/main.ts")],
  outfile: output,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node26",
  external: ["koffi", "@koromix/*"],
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "none",
  logLevel: "warning",
  define: { BUILD_REVISION: JSON.stringify(revision()) },
});

/** The commit, when this is a git checkout; a source archive has none. */
function revision(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short=12", "HEAD"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "unknown";
  }
}
