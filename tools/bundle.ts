// Bundles the agent into one file: fewer files to open at start, and nothing of TypeScript at run time.
// Usage: tools/node tools/bundle.ts OUTPUT
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";

const root = join(import.meta.dirname, "..");
const [output] = process.argv.slice(2);
if (output === undefined) throw new TypeError("Cannot bundle: usage is tools/node tools/bundle.ts OUTPUT");

/** Importing node:http as a module evaluates all it exports, its fetch and WebSocket client among them: 50 ms and 3 MB that
 * the agent does not use. Asking for the object evaluates what is touched. */
const builtinsAsObjects: Plugin = {
  name: "builtins-as-objects",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:https?$/ }, ({ path }) => ({ path, namespace: "builtin" }));
    onLoad({ filter: /.*/, namespace: "builtin" }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };

await build({
  entryPoints: [join(root, "src/cmd/main.ts")],
  outfile: output,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node26",
  external: ["koffi", "@koromix/*"],
  plugins: [builtinsAsObjects],
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "none",
  logLevel: "warning",
  define: {
    BUILD_VERSION: JSON.stringify(version),
    BUILD_REVISION: JSON.stringify(git("rev-parse", "--short=12", "HEAD") ?? "unknown"),
    BUILD_STATUS: JSON.stringify(git("status", "--porcelain") === "" ? "Clean" : "Modified"),
  },
});

/** Undefined when this is no git checkout; a source archive has none. */
function git(...args: string[]): string | undefined {
  try {
    return execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return undefined;
  }
}
