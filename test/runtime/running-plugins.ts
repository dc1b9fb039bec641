// Plugins that wait for an agent, seen on the node: only the node's own processes are.
import { globSync, readFileSync } from "node:fs";

/** How many plugins of ours run. */
export function countPlugins(): number {
  return globSync("/proc/[0-9]*/comm").filter((path) => {
    try {
      return readFileSync(path, "utf8") === "istio-cni\n";
    } catch {
      // It has ended.
      return false;
    }
  }).length;
}
