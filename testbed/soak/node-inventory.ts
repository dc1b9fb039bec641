// What a node holds when no pod runs, one line each, so that whatever is there after a soak and was not before is seen. Not only
// ours: what the runtime leaves would hide what we leave.
import { globSync, readdirSync, readFileSync } from "node:fs";
import { runCommand } from "../node/command.ts";
import type { TestNode } from "../node/create-node.ts";

/** What belongs to pods: namespaces, mounts, interfaces, addresses, netfilter, the runtime's and our records, processes by name. */
export async function readInventory(node: TestNode): Promise<readonly string[]> {
  const lines = [
    ...globSync("/run/netns/*").map((path) => `namespace ${path}`),
    ...globSync("/var/lib/cni/results/*").map((path) => `result ${path}`),
    ...globSync("/var/lib/cni/networks/*/*").filter((path) => !/lock|last_reserved/.test(path)),
    ...globSync("/run/istio-cni/pods/*").map((path) => `record ${path}`),
    ...globSync("/run/istio-cni/{,.}*").map((path) => `file ${path.replace(/\.\d+$|\d{3,}/g, "N")}`),
    ...readLines("/proc/self/mountinfo").flatMap((line) => `mount ${line.split(" ")[4]}`),
    ...readLines("/proc/net/dev").flatMap((line) =>
      line.includes(":") ? `interface ${line.split(":")[0]?.trim()}` : [],
    ),
    ...listProcessNames().map((name) => `process ${name}`),
    ...(await readNetfilter()),
    ...(await node.runtime.cri.listPodSandboxes()).map((id) => `sandbox ${id}`),
  ];
  return lines.filter((line) => line !== "mount undefined").toSorted();
}

/** Lines that are there more often than before. */
export function findMore(before: readonly string[], now: readonly string[]): readonly string[] {
  const left = new Map<string, number>();
  for (const line of before) left.set(line, (left.get(line) ?? 0) + 1);
  return now.filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  });
}

/** A runtime that is ended in the middle of a start or a stop knows nothing of that sandbox afterwards, and leaves the file of its
 * namespace, mounted or not; whoever asks for the sandbox's end is told that there is none. What it still knows is not forgotten:
 * while one sandbox is left, nothing is.
 * @param forgotten files of namespaces that were there when the runtime was ended, and of which it knew no sandbox afterwards */
export function withoutForgotten(lines: readonly string[], forgotten: ReadonlySet<string>): readonly string[] {
  if (lines.some((line) => line.startsWith("sandbox "))) return lines;
  return lines.filter((line) => !forgotten.has(/^(?:namespace|mount) (.+)$/.exec(line)?.[1] ?? ""));
}

/** Rules, sets and their elements of the node's own namespace, without counters and handles. */
async function readNetfilter(): Promise<readonly string[]> {
  const results = await Promise.all(
    [
      ["nft", "list", "ruleset"],
      ["ipset", "save"],
      ["ip", "rule"],
      ["ip", "-6", "rule"],
    ].map((argv) => runCommand(argv)),
  );
  return results.flatMap(({ stdout }) =>
    stdout
      .split("\n")
      .filter((line) => line.trim() !== "" && !line.startsWith("#"))
      .map(
        (line) =>
          `netfilter ${line
            .trim()
            .replaceAll(/counter packets \d+ bytes \d+/g, "counter")
            .replace(/ hashsize \d+/, "")
            .replace(/ initval \S+/, "")}`,
      ),
  );
}

function listProcessNames(): readonly string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const [name] = readLines(`/proc/${pid}/comm`);
      // Helpers of the moment, and kernel threads, which have no command line.
      if (name === undefined || readLines(`/proc/${pid}/cmdline`).length === 0) return [];
      return isOfContainer(pid, name) ? [] : name;
    });
}

/** A runtime that is killed in the middle of a start forgets the shim that it has just started, and with it what the shim has begun:
 * whether a container is left is asked of the runtime. */
function isOfContainer(pid: string, name: string): boolean {
  const [, parent = ""] = /^PPid:\t(\d+)$/m.exec(readLines(`/proc/${pid}/status`).join("\n")) ?? [];
  return [name, ...readLines(`/proc/${parent}/comm`)].some((program) => program.startsWith("containerd-shim"));
}

function readLines(path: string): readonly string[] {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  } catch {
    // A process that has ended meanwhile.
    return [];
  }
}
