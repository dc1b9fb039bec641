// Network namespaces of the node as seen from here: which are no pod's, and where runtimes keep those of pods.
import { join } from "node:path";
import type { NetnsId } from "../core/netns/netns-id.ts";
import type { ProcReader } from "../platform/fs/proc-reader.ts";
import { netnsIdAt } from "../platform/linux/netns.ts";

/** The agent's own network namespace, and the node's where it can be seen. */
export function forbiddenNamespaces(proc: Pick<ProcReader, "nodeNetns">): NetnsId[] {
  return [netnsIdAt("/proc/self/ns/net"), nodeNetns(proc)].filter((id) => id !== undefined);
}

function nodeNetns(proc: Pick<ProcReader, "nodeNetns">): NetnsId | undefined {
  try {
    return proc.nodeNetns();
  } catch {
    // Whoever cannot do without says why.
    return undefined;
  }
}

/** The second one where the first is not mounted, or under its other name only. @param root the node's file system */
export function netnsFolders(root: string): string[] {
  return ["var/run/netns", "proc/1/root/run/netns"].map((folder) => join(root, folder));
}
