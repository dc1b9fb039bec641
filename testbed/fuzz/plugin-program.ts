/**
 * The plugin's readers as a program under sanitizers (plugin-readers.c): compiled once from the sources as they are, then run
 * for a batch of inputs at a time. What it reports is judged by targets/plugin.ts.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");
const SOURCES = join(ROOT, "plugin/src");
const HARNESS = join(import.meta.dirname, "plugin-readers.c");
/** Those that the harness takes into itself. */
const INCLUDED = ["answer.c", "agent.c", "main.c"];
const FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"];
const COVERAGE = [
  "-fno-sanitize-recover=all",
  "-fsanitize-coverage=trace-pc",
  "-no-pie",
  "-D_exit=fuzz_exit",
  "-Dwrite=fuzz_write",
];
/** Of one batch; an input takes far less than a millisecond. */
const BATCH_TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 512 << 20;

/** What one input did. */
export interface ProgramResult {
  /** As the harness wrote it; slices are hexadecimal. */
  readonly told: Readonly<Record<string, unknown>>;
  readonly ways: readonly number[];
}

/** Results in the order of the inputs, up to the one behind which `crash` tells what happened. */
export interface BatchResult {
  readonly results: readonly ProgramResult[];
  readonly crash: string | undefined;
}

let program: string | undefined;

/** Runs `inputs` through one reader. @throws {Error} when the program cannot be compiled */
export function runPluginReader(reader: string, inputs: readonly Uint8Array[]): BatchResult {
  program ??= compile();
  const runDir = mkdtempSync(join(tmpdir(), "fuzz-"));
  try {
    const ended = spawnSync(program, [reader, runDir], {
      input: frame(inputs),
      maxBuffer: MAX_OUTPUT_BYTES,
      timeout: BATCH_TIMEOUT_MS,
      killSignal: "SIGKILL",
      env: { LC_ALL: "C", ASAN_OPTIONS: "abort_on_error=0:detect_leaks=0", UBSAN_OPTIONS: "print_stacktrace=1" },
    });
    const results = readResults(ended.stdout);
    if (ended.status === 0 && results.length === inputs.length) return { results, crash: undefined };
    const why =
      ended.signal === "SIGKILL" ? `Hang: a batch took ${BATCH_TIMEOUT_MS} ms` : String(ended.stderr).slice(0, 4000);
    return { results, crash: why === "" ? `Ended by ${ended.signal ?? ended.status}` : why };
  } finally {
    rmSync(runDir, { recursive: true, force: true });
  }
}

/** Under a name made of all sources, so that a changed one is compiled again; a rename, so that a half-made one is never found. */
function compile(): string {
  const names = readdirSync(SOURCES)
    .filter((name) => /\.[ch]$/.test(name))
    .sort();
  const hash = createHash("sha256").update([...FLAGS, ...COVERAGE].join(" "));
  for (const path of [HARNESS, ...names.map((name) => join(SOURCES, name))]) hash.update(readFileSync(path));
  const folder = join(ROOT, "out/fuzz");
  const path = join(folder, `plugin-readers-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  const others = names
    .filter((name) => name.endsWith(".c") && !INCLUDED.includes(name))
    .map((name) => join(SOURCES, name));
  const argv = [...FLAGS, ...COVERAGE, "-o", `${path}.${process.pid}`, HARNESS, ...others];
  const compiled = spawnSync(process.env["CC"] ?? "gcc", argv, { encoding: "utf8" });
  if (compiled.status !== 0)
    throw new Error(`Cannot compile the plugin's readers: ${compiled.stderr || compiled.error?.message}`);
  renameSync(`${path}.${process.pid}`, path);
  return path;
}

function frame(inputs: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    inputs.flatMap((input) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(input.length);
      return [length, input];
    }),
  );
}

function readResults(output: Buffer): ProgramResult[] {
  const results: ProgramResult[] = [];
  for (let at = 0; at + 4 <= output.length; ) {
    const length = output.readUInt32LE(at);
    const countAt = at + 4 + length;
    if (countAt + 4 > output.length) break;
    const count = output.readUInt32LE(countAt);
    const end = countAt + 4 + 4 * count;
    if (end > output.length) break;
    const told = JSON.parse(output.toString("latin1", at + 4, countAt)) as Readonly<Record<string, unknown>>;
    results.push({
      told,
      ways: Array.from({ length: count }, (_, index) => output.readUInt32LE(countAt + 4 + 4 * index)),
    });
    at = end;
  }
  return results;
}
