// Bundles the agent: no TypeScript and few files at run time. agent.mjs is what the launcher starts; beside it lie the
// agent-*.mjs that it imports, the parts for one command or one mode in files of their own, so that nobody else holds them in
// memory. All of them belong together; libc.ts and paths.ts rely on their lying in one folder with koffi.node.
// Usage: tools/node tools/bundle.ts FOLDER
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type BuildOptions, build, type OutputFile, type Plugin } from "esbuild";

const root = join(import.meta.dirname, "..");
const [folder] = process.argv.slice(2);
if (folder === undefined) throw new TypeError("Cannot bundle: usage is tools/node tools/bundle.ts FOLDER");

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

/** The commands beside the agent are a bundle of their own: what both need stands in each, instead of in fifty small files that
 * the agent would open at its start (12 ms). */
const COMMANDS = { name: "agent-commands", source: join(root, "src/cmd/commands/run-command.ts") };
const commandsApart: Plugin = {
  name: "commands-apart",
  setup({ onResolve }) {
    onResolve({ filter: /\/run-command\.ts$/ }, ({ kind }) =>
      kind === "dynamic-import" ? { path: `./${COMMANDS.name}.mjs`, external: true } : undefined,
    );
  },
};

const common: BuildOptions & { write: false } = {
  outdir: folder,
  outExtension: { ".js": ".mjs" },
  // The name tells the content: a file that is there already is the right one.
  chunkNames: "agent-[name]-[hash]",
  splitting: true,
  write: false,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node26",
  external: ["koffi", "@koromix/*"],
  plugins: [builtinsAsObjects, commandsApart],
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "none",
  logLevel: "warning",
  define: {
    BUILD_VERSION: JSON.stringify(version),
    BUILD_REVISION: JSON.stringify(git("rev-parse", "--short=12", "HEAD") ?? "unknown"),
    BUILD_STATUS: JSON.stringify(git("status", "--porcelain") === "" ? "Clean" : "Modified"),
  },
};
const commands = await build({ ...common, entryPoints: { [COMMANDS.name]: COMMANDS.source } });
const agent = await build({ ...common, entryPoints: { agent: join(root, "src/cmd/main.ts") } });
place([...commands.outputFiles, ...agent.outputFiles], folder);

/** At every moment, also after a crash, agent.mjs finds all it imports: it comes last, and only then goes what the build
 * before left behind. An agent that runs has loaded everything it ever will before it was ready. */
function place(files: readonly OutputFile[], into: string): void {
  const names = new Set(files.map(({ path }) => basename(path)));
  const rank = ({ path }: OutputFile): number => ["agent-commands.mjs", "agent.mjs"].indexOf(basename(path));
  for (const file of files.toSorted((one, other) => rank(one) - rank(other))) {
    const path = join(into, basename(file.path));
    writeFileSync(`${path}.new`, file.contents);
    renameSync(`${path}.new`, path);
  }
  for (const name of readdirSync(into))
    if (/^agent-.*\.mjs(?:\.new)?$/.test(name) && !names.has(name)) rmSync(join(into, name), { force: true });
}

/** Undefined when this is no git checkout; a source archive has none. */
function git(...args: string[]): string | undefined {
  try {
    return execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return undefined;
  }
}
