// What the kernel says of a running process: memory, CPU time, descriptors, threads. Reading costs the reader some
// hundred microseconds and the process nothing.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface ProcessMemory {
  readonly rssMib: number;
  readonly anonMib: number;
  /** The largest resident size since the start, or since `forgetPeak()`. */
  readonly peakMib: number;
}

/** @throws {Error} when there is no such process. */
export function readMemory(pid: number): ProcessMemory {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return {
    rssMib: parseStatusKib(status, "VmRSS") / 1024,
    anonMib: parseStatusKib(status, "RssAnon") / 1024,
    peakMib: parseStatusKib(status, "VmHWM") / 1024,
  };
}

/** From here on the peak counts (proc_pid_clear_refs(5)). */
export function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** A "Name:   123 kB" line of /proc/PID/status. @throws {TypeError} when there is none. */
export function parseStatusKib(status: string, name: string): number {
  const [, kib] = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status) ?? [];
  if (kib === undefined) throw new TypeError(`Cannot read ${name}: the status has no such line`);
  return Number(kib);
}

/** CPU time of all threads that live, in milliseconds with nanosecond steps; Node's and Go's threads do not end. */
export function readCpuMs(pid: number): number {
  let sumNs = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    // proc(5): time on the CPU, time waiting for it, number of times run.
    const [onCpu] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
    sumNs += Number(onCpu);
  }
  return sumNs / 1e6;
}

/** CPU time of children that it has waited for, and of theirs: in steps of a hundredth of a second, the kernel's tick. */
export function readChildrenCpuMs(pid: number): number {
  return parseChildrenCpuMs(readFileSync(`/proc/${pid}/stat`, "utf8"));
}

/** `cutime` and `cstime` of proc_pid_stat(5), which every Linux on our architectures tells in ticks of 10 ms.
 * @throws {TypeError} on another text. */
export function parseChildrenCpuMs(stat: string): number {
  // The name in parentheses may hold anything; the fields behind it begin with the third.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[13]) + Number(fields[14]);
  if (!Number.isFinite(ticks))
    throw new TypeError("Cannot read the children's CPU time: the text is no /proc/PID/stat");
  return ticks * 10;
}

/** What the main thread did so far: on a processor, and waiting for one; milliseconds. */
export function readMainThread(pid: number): { readonly runMs: number; readonly waitMs: number } {
  const [run, wait] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ");
  return { runMs: Number(run) / 1e6, waitMs: Number(wait) / 1e6 };
}

export function countDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

export function countThreads(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).length;
}

/** What the kubelet calls the working set: usage without file pages that nobody used lately. Undefined where the
 * cgroup cannot be read. Both hierarchies: cgroup v2 and v1. */
export function readWorkingSetMib(cgroup: string): number | undefined {
  const v2 = join("/sys/fs/cgroup", cgroup);
  const v1 = join("/sys/fs/cgroup/memory", cgroup);
  const [folder, usageFile, inactiveName] = existsSync(join(v2, "memory.current"))
    ? [v2, "memory.current", "inactive_file"]
    : [v1, "memory.usage_in_bytes", "total_inactive_file"];
  if (!existsSync(join(folder, usageFile))) return undefined;
  const usage = Number(readFileSync(join(folder, usageFile), "utf8"));
  return (usage - parseMemoryStat(readFileSync(join(folder, "memory.stat"), "utf8"), inactiveName)) / 1024 ** 2;
}

/** A "name value" line of memory.stat, in bytes; 0 when there is none. */
export function parseMemoryStat(stat: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(stat)?.[1] ?? 0);
}
