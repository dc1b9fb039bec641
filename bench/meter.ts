// Measures processes from start to exit through meter.c. Responsible for the conversation with it and for what its
// numbers mean; what to run is the sections' business.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { compileStatic } from "../testbed/node/compile.ts";
import { REPOSITORY } from "../testbed/node/repository.ts";
import type { Series } from "./series.ts";

/** One process, from vfork to the end of wait4. */
export interface Measurement {
  /** 128 + number when a signal ended it; 127 when it could not be executed. */
  readonly status: number;
  readonly wallMs: number;
  /** User and system time of the process, by rusage. */
  readonly cpuMs: number;
  /** Largest resident size. The kernel counts from exec on, but never less than the meter's own 0.6 MiB. */
  readonly rssMib: number;
}

/** As series of that name, each with the measure behind it: "name wall", "name cpu", "name rss". */
export function keepMeasurement(series: Series, name: string, { wallMs, cpuMs, rssMib }: Measurement): void {
  series.keep(`${name} wall`, wallMs);
  series.keep(`${name} cpu`, cpuMs);
  series.keep(`${name} rss`, rssMib);
}

/** What to run. Nothing but `env` reaches it. */
export interface MeterRequest {
  readonly program: string;
  readonly stdinPath: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Where stdout and stderr go; read back when the status is not 0. */
  readonly outputPath: string;
}

export interface Meter extends AsyncDisposable {
  /** Measures one process; one at a time.
   * @throws {Error} with its output when it ends with another status than 0, or is not done within a minute. */
  measure(request: MeterRequest): Promise<Measurement>;
}

const DEADLINE_MS = 60_000;

/** Path of the meter, which is also the program that stamps the moment of an exec. */
export function meterPath(): string {
  return compileStatic(join(import.meta.dirname, "meter.c"));
}

/** The static program that does nothing, built as the plugin is (tools/zig-static): what a process of ours costs before it
 * does anything. glibc's static start-up alone would cost more than the plugin does.
 * @throws {Error} with the compiler's output when it does not compile. */
export function emptyRequest(): MeterRequest {
  return { program: emptyProgramPath(), stdinPath: "/dev/null", outputPath: "/dev/null" };
}

function emptyProgramPath(): string {
  const source = join(import.meta.dirname, "empty.c");
  const build = join(REPOSITORY, "tools/zig-static");
  const hash = createHash("sha256").update(readFileSync(source)).update(readFileSync(build)).digest("hex");
  const target = join(REPOSITORY, ".cache/bench", `empty-${process.arch}-${hash.slice(0, 16)}`);
  if (existsSync(target)) return target;
  const done = spawnSync(build, [process.arch === "arm64" ? "arm64" : "amd64", target, source], {
    encoding: "utf8",
    timeout: 120_000,
    env: { ...process.env, LC_ALL: "C" },
  });
  if (done.status !== 0) throw new Error(`Cannot compile ${source}: status ${done.status}\n${done.stderr}`);
  return target;
}

/** Starts the meter; it ends with `dispose`, or with this process. */
export function startMeter(): Meter {
  const child = spawn(meterPath(), [], { stdio: ["pipe", "pipe", "inherit"], env: {} });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  return {
    async measure(request) {
      const timer = setTimeout(() => child.kill("SIGKILL"), DEADLINE_MS);
      child.stdin.write(renderMeterRequest(request));
      const { value, done } = await lines.next();
      clearTimeout(timer);
      if (done === true) throw new Error(`Cannot measure ${request.program}: the meter has ended`);
      const measurement = parseMeasurement(String(value));
      if (measurement.status !== 0) {
        const output = readFileSync(request.outputPath, "utf8").slice(0, 2000);
        throw new Error(`Cannot measure ${request.program}: it ended with ${measurement.status}\n${output}`);
      }
      return measurement;
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await exited;
    },
  };
}

/** One line for the meter. @throws {TypeError} when a field holds what separates fields or lines. */
export function renderMeterRequest({ program, stdinPath, outputPath, env = {} }: MeterRequest): string {
  const fields = [program, stdinPath, outputPath, ...Object.entries(env).map(([name, value]) => `${name}=${value}`)];
  const bad = fields.find((field) => /[\t\n\0]/.test(field));
  if (bad !== undefined) throw new TypeError(`Cannot measure with ${JSON.stringify(bad)}: tabs and line ends separate`);
  return `${fields.join("\t")}\n`;
}

/** Reads the meter's answer. @throws {TypeError} when it is not one. */
export function parseMeasurement(line: string): Measurement {
  const [status, wallNs, userUs, systemUs, rssKib, ...more] = parseNumbers(line);
  if (
    status === undefined ||
    wallNs === undefined ||
    userUs === undefined ||
    systemUs === undefined ||
    rssKib === undefined ||
    more.length > 0
  )
    throw new TypeError(`Cannot read the meter's answer: ${JSON.stringify(line.slice(0, 200))} is not five numbers`);
  return { status, wallMs: wallNs / 1e6, cpuMs: (userUs + systemUs) / 1000, rssMib: rssKib / 1024 };
}

/** When a stamped program was executed. */
export interface ExecStamp {
  /** By the monotonic clock, which is also `process.hrtime.bigint()`. */
  readonly atNs: bigint;
  /** What its thread had already used: the container runtime's share. */
  readonly cpuMs: number;
}

/** Reads the line of `meter stamp`; undefined when it is another one. */
export function parseExecStamp(line: string): ExecStamp | undefined {
  const [, atNs, cpuNs] = /^meter: exec (\d+) (\d+)$/.exec(line) ?? [];
  return atNs === undefined || cpuNs === undefined ? undefined : { atNs: BigInt(atNs), cpuMs: Number(cpuNs) / 1e6 };
}

function parseNumbers(line: string): number[] {
  return /^\d+( \d+)*$/.test(line) ? line.split(" ").map(Number) : [];
}
