// How many programs one call of a plugin executes, besides the plugin: counted by strace (execve and execveat that
// succeeded) in the plugin with its children, and in the agent with its. Counted apart from the timed runs, which a tracer
// would slow down.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findProgram } from "../src/platform/exec/find-program.ts";
import { startCommand } from "../testbed/node/command.ts";
import type { MeterRequest } from "./meter.ts";

/** What each of several calls executed, besides the plugin itself; the agent's are told for all calls together. */
export interface Executions {
  readonly plugin: readonly (readonly string[])[];
  readonly agent: readonly string[];
}

const DEADLINE_MS = 60_000;
const TRACE = ["-f", "-e", "trace=execve,execveat", "-e", "signal=none"];

/** Makes the calls one after the other.
 * @throws {Error} when there is no strace, or a call ends with another status than 0. */
export async function traceExecutions(
  calls: readonly MeterRequest[],
  agentPid: number | undefined,
  folder: string,
): Promise<Executions> {
  const strace = findProgram("strace");
  if (strace === undefined) throw new Error("Cannot count executed programs: there is no strace; install it");
  const agentTrace = join(folder, "trace-agent");
  await using tracer =
    agentPid === undefined ? undefined : startCommand([strace, ...TRACE, "-o", agentTrace, "-p", String(agentPid)]);
  await tracer?.waitForLine((line) => line.includes(" attached"));
  const plugin: (readonly string[])[] = [];
  for (const call of calls) {
    const path = join(folder, "trace-plugin");
    const traced = startCommand([strace, ...TRACE, "-qq", "-o", path, call.program], {
      stdinPath: call.stdinPath,
      ...(call.env === undefined ? {} : { env: call.env }),
    });
    const timer = setTimeout(() => void traced.stop("SIGKILL"), DEADLINE_MS);
    const status = await traced.exited;
    clearTimeout(timer);
    if (status !== 0)
      throw new Error(`Cannot trace ${call.program}: it ended with ${status}\n${traced.lines.join("\n")}`);
    plugin.push(parseExecutions(readFileSync(path, "utf8")).slice(1));
  }
  // Without a signal of its own a tracer lets go of the traced as they are.
  await tracer?.stop("SIGTERM");
  return { plugin, agent: tracer === undefined ? [] : parseExecutions(readFileSync(agentTrace, "utf8")) };
}

/** The programs of a trace, in order, each when its execution had succeeded; those that were not found do not count. A
 * call that another process's line interrupts is told in two. */
export function parseExecutions(trace: string): string[] {
  const begun = new Map<string, string>();
  const executed: string[] = [];
  for (const line of trace.split("\n")) {
    const [, pid = "", rest = ""] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const [, path] = /^execve(?:at)?\((?:[^"]*, )?"([^"]*)"/.exec(rest) ?? [];
    if (path !== undefined) begun.set(pid, path);
    if (!/^(execve(at)?\(|<\.\.\. execve(at)? resumed>).*\) += 0$/.test(rest)) continue;
    executed.push(begun.get(pid) ?? "?");
  }
  return executed;
}
