// The import law of DESIGN 3.1 as a check: core decides, platform acts, agent times, cmd wires.
// Pure: takes the files' texts, returns the violations. tools/ok.ts feeds it the tree.

export interface SourceFile {
  /** Path from the project's root, with `/`. */
  readonly path: string;
  readonly text: string;
}

export interface Violation {
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

type Room = "core" | "platform" | "agent" | "cmd";

/** What a room may import by value, and what by type only. */
const LAW: Record<Room, { value: readonly Room[]; type: readonly Room[] }> = {
  core: { value: ["core"], type: ["core"] },
  platform: { value: ["platform", "core"], type: ["platform", "core"] },
  agent: { value: ["agent", "core"], type: ["agent", "core", "platform"] },
  cmd: { value: ["cmd", "agent", "platform", "core"], type: ["cmd", "agent", "platform", "core"] },
};

/** Modules that are dangerous enough to live in one room each (anchors 6.6). Tests may use them. */
const MODULE_ROOMS: Record<string, readonly string[]> = {
  koffi: ["src/platform/linux/"],
  "node:child_process": ["src/platform/exec/"],
  "node:net": ["src/platform/http/", "src/platform/linux/"],
  "node:http": ["src/platform/http/"],
  "node:https": ["src/platform/http/"],
  "node:tls": ["src/platform/http/"],
  "node:fs": ["src/platform/"],
  "node:fs/promises": ["src/platform/"],
  "node:worker_threads": [],
  "node:vm": ["src/platform/linux/"],
};

const DRAWERS = /(^|\/)(utils?|helpers?|common|lib|misc|types)(\.ts|\/)/;
const IMPORT =
  /(?:^|\n)[ \t]*(import|export)([ \t]+type)?[^"'`;]*?from[ \t]*["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)|(?:^|\n)[ \t]*import[ \t]+["']([^"']+)["']/g;
const IMPURE =
  /(?<![\w.$"'`])(?:process\.|Buffer\.|Date\.now|performance\.|console\.|setTimeout\(|setInterval\(|setImmediate\(|Math\.random|fetch\(|async function|await )|\bnew (?:Date\(\)|Promise)\b|: Promise</;

/** Checks every file under src/. */
export function checkImportLaw(files: readonly SourceFile[]): Violation[] {
  return files.filter(({ path }) => path.startsWith("src/") && path.endsWith(".ts")).flatMap(checkFile);
}

function checkFile({ path, text }: SourceFile): Violation[] {
  const violations: Violation[] = [];
  const room = roomOf(path);
  const isTest = path.endsWith(".test.ts");
  const code = withoutComments(text);
  const report = (offset: number, message: string): void => {
    violations.push({ path, line: code.slice(0, offset).split("\n").length, message });
  };
  if (room === undefined) {
    report(0, "Bad place: src/ has the rooms core, platform, agent and cmd");
    return violations;
  }
  if (DRAWERS.test(path.slice("src/".length))) report(0, "Bad name: a drawer says nothing about what is in it");
  for (const match of code.matchAll(IMPORT)) {
    const offset = match.index + (match[0].startsWith("\n") ? 1 : 0);
    const specifier = match[3] ?? match[4] ?? match[5] ?? "";
    const typeOnly = match[2] !== undefined;
    if (specifier.startsWith(".")) checkRelative(specifier, typeOnly, offset);
    else if (!isTest) checkModule(specifier, typeOnly, offset);
  }
  if (room === "core" && !isTest) {
    code.split("\n").forEach((line, index) => {
      const impure = IMPURE.exec(withoutStrings(line));
      if (impure)
        violations.push({
          path,
          line: index + 1,
          message: `Bad layering: core is pure and synchronous, found ${impure[0].trim()}`,
        });
    });
  }
  return violations;

  function checkRelative(specifier: string, typeOnly: boolean, offset: number): void {
    const target = resolve(path, specifier);
    const targetRoom = roomOf(target);
    if (targetRoom === undefined) {
      if (!isTest) report(offset, `Bad layering: src/ does not import ${target}`);
      return;
    }
    if (room === undefined || isTest) return;
    if (!LAW[room][typeOnly ? "type" : "value"].includes(targetRoom)) {
      report(offset, `Bad layering: ${room} may not import ${targetRoom}${typeOnly ? "" : " by value"} (${specifier})`);
    } else if (room === "agent" && targetRoom === "agent" && serviceOf(target) !== serviceOf(path)) {
      report(offset, `Bad layering: services never import each other, cmd/wire.ts joins them (${specifier})`);
    }
  }

  function checkModule(specifier: string, typeOnly: boolean, offset: number): void {
    if (room === "core" && specifier.startsWith("node:")) report(offset, `Bad layering: core imports no ${specifier}`);
    else if (room === "core" && !typeOnly) report(offset, `Bad layering: core has no dependencies, found ${specifier}`);
    const rooms = MODULE_ROOMS[specifier];
    if (rooms !== undefined && !typeOnly && !rooms.some((allowed) => path.startsWith(allowed))) {
      report(offset, `Bad layering: ${specifier} is used only in ${rooms.join(", ") || "no room"}`);
    }
  }
}

function roomOf(path: string): Room | undefined {
  const room = /^src\/([^/]+)\//.exec(path)?.[1];
  return room === "core" || room === "platform" || room === "agent" || room === "cmd" ? room : undefined;
}

function serviceOf(path: string): string | undefined {
  return /^src\/agent\/([^/]+)\//.exec(path)?.[1];
}

function resolve(from: string, specifier: string): string {
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

/** Blanks comments so that line numbers stay. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|(?<=^|[\s;,{}()])\/\/[^\n]*/g, (comment) => comment.replace(/[^\n]/g, " "));
}

function withoutStrings(line: string): string {
  return line.replace(
    /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|\/(?![*/ ])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/g,
    "''",
  );
}
