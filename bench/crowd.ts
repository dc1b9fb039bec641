// Many processes at once, through crowd.c. Responsible for the conversation with it; what a crowd's numbers tell is
// burst.ts's business.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { compileStatic } from "../testbed/node/compile.ts";
import { type MeterRequest, renderMeterRequest } from "./meter.ts";
import { type ProcessorTime, parseProcessorTime } from "./processor-time.ts";

/** One process of a crowd; times from the moment in which all of them were let go. */
export interface CrowdMember {
  /** 128 + number when a signal ended it; 127 when it could not be executed. */
  readonly status: number;
  /** When its turn on a processor came and it was executed. */
  readonly startedMs: number;
  readonly endedMs: number;
  /** User and system time of the process and of children it waited for, by rusage. */
  readonly cpuMs: number;
  readonly rssMib: number;
}

export interface Crowd {
  /** In the order of the requests. */
  readonly members: readonly CrowdMember[];
  /** What the machine's processors did from the moment all were let go until the last had ended. */
  readonly processors: { readonly before: ProcessorTime; readonly after: ProcessorTime };
}

const DEADLINE_MS = 300_000;

/** Runs all of them at once, and all to their end. Their output paths have to differ.
 * @throws {Error} with the output of one that ended with another status than 0, or when they are not done within 5 min. */
export async function runCrowd(requests: readonly MeterRequest[]): Promise<Crowd> {
  const child = spawn(crowdPath(), [], { stdio: ["pipe", "pipe", "inherit"], env: {}, timeout: DEADLINE_MS });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once("error", reject);
  child.once("close", resolve);
  child.stdin.on("error", () => {});
  child.stdin.end(requests.map(renderMeterRequest).join(""));
  const status = await promise;
  if (status !== 0) throw new Error(`Cannot measure ${requests.length} processes at once: crowd ended with ${status}`);
  const [before = "", after = "", ...lines] = text.trimEnd().split("\n");
  const members = lines.map(parseCrowdMember);
  if (members.length !== requests.length)
    throw new Error(`Cannot measure ${requests.length} processes at once: ${members.length} answers came`);
  for (const [index, request] of requests.entries()) {
    const member = members[index];
    if (member?.status === 0) continue;
    const output = readFileSync(request.outputPath, "utf8").slice(0, 2000);
    throw new Error(`Cannot measure ${request.program} in a crowd: one ended with ${member?.status}\n${output}`);
  }
  return { members, processors: { before: parseProcessorTime(before), after: parseProcessorTime(after) } };
}

/** Path of the program; compiled at the first call. */
export function crowdPath(): string {
  return compileStatic(join(import.meta.dirname, "crowd.c"));
}

/** Reads one line of the answer. @throws {TypeError} when it is not one. */
export function parseCrowdMember(line: string): CrowdMember {
  const numbers = /^\d+( \d+){5}$/.test(line) ? line.split(" ").map(Number) : [];
  const [status, startedNs, endedNs, userUs, systemUs, rssKib] = numbers;
  if (
    status === undefined ||
    startedNs === undefined ||
    endedNs === undefined ||
    userUs === undefined ||
    systemUs === undefined ||
    rssKib === undefined
  )
    throw new TypeError(`Cannot read the crowd's answer: ${JSON.stringify(line.slice(0, 200))} is not six numbers`);
  const cpuMs = (userUs + systemUs) / 1000;
  return { status, startedMs: startedNs / 1e6, endedMs: endedNs / 1e6, cpuMs, rssMib: rssKib / 1024 };
}
