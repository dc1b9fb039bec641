// What a node would leave behind: processes, mounts, interfaces, netfilter tables and cgroups, as text lines, to be
// compared before and after. It sees the namespaces it is called in.
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { runCommand } from "./command.ts";

/** The state of the current namespaces; each entry is a line that a person can act on. */
export type SystemState = ReadonlySet<string>;

/** Reads the state. Only processes of this process's pid namespace, and only cgroups called `cgroup`, are seen. */
export async function readSystemState(cgroup: string): Promise<SystemState> {
  const mounts = listMounts().map(({ id, point }) => `mount ${point} (${id})`);
  const lines = [...listProcesses(), ...mounts, ...listInterfaces(), ...(await listNetfilterTables())];
  for (const path of globSync(`/sys/fs/cgroup/{,*/}${cgroup}`)) lines.push(`cgroup ${path}`);
  return new Set(lines);
}

/** What is there now and was not there before. */
export function findLeftovers(before: SystemState, now: SystemState): readonly string[] {
  return [...now].filter((line) => !before.has(line));
}

function listProcesses(): readonly string[] {
  const lines: string[] = [];
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const command = readQuietly(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
    // A zombie has no command line; its parent, libuv or process 1, is about to reap it.
    if (command !== "") lines.push(`process ${pid} ${command}`);
  }
  return lines;
}

/** What is mounted in the namespace of the caller; a later one lies on top. */
export function listMounts(): { readonly id: string; readonly point: string }[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return lines.flatMap((line) => {
    // proc_pid_mountinfo(5): the first field is the mount's id, the fifth the mount point.
    const [id, , , , point] = line.split(" ");
    return id === undefined || point === undefined ? [] : [{ id, point }];
  });
}

function listInterfaces(): readonly string[] {
  const lines = readFileSync("/proc/net/dev", "utf8").split("\n").slice(2);
  return lines.filter((line) => line.includes(":")).map((line) => `interface ${line.split(":")[0]?.trim()}`);
}

async function listNetfilterTables(): Promise<readonly string[]> {
  const { stdout } = await runCommand(["nft", "list", "tables"]);
  return stdout.split("\n").filter((line) => line !== "");
}

function readQuietly(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // It ended between the listing and now.
    return "";
  }
}

/** Cgroups called `cgroup`, or below one of that name, by path. */
export function listCgroups(cgroup: string): readonly string[] {
  return existsSync("/sys/fs/cgroup") ? globSync(`/sys/fs/cgroup/{,*/}${basename(cgroup)}/**/`) : [];
}
