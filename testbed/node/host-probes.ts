// What an agent in ambient mode leaves on the node on purpose when it ends: the rule that lets probes in, its set, and the
// tables that the rule needed. Exactly that goes with the testbed's node; whatever else is left is told by leftovers.ts.
import { readFileSync } from "node:fs";
import { mustRun, runCommand } from "./command.ts";

/** Contract 7.8. */
const CHAIN = "ISTIO_POSTRT";
const NATIVE_TABLE = "inet istio-ambient-nat";
const SETS = ["istio-inpod-probes-v4", "istio-inpod-probes-v6"] as const;

/** In the namespaces of the caller. Does nothing where there is nothing. */
export async function removeHostProbes(): Promise<void> {
  const { stdout } = await runCommand(["nft", "list", "tables"]);
  if (stdout.includes(`table ${NATIVE_TABLE}`)) await mustRun(["nft", "delete", "table", ...NATIVE_TABLE.split(" ")]);
  for (const [family, prefix] of [
    ["ip", "ip"],
    ["ip6", "ip6"],
  ] as const) {
    // Asking the legacy tool makes the table that it looks for.
    const isLegacy = readQuietly(`/proc/self/net/${prefix}_tables_names`).includes("nat");
    for (const tool of [`${prefix}tables-nft`, ...(isLegacy ? [`${prefix}tables-legacy`] : [])]) {
      if (!(await runCommand([tool, "-t", "nat", "-S", CHAIN])).stdout.includes(CHAIN)) continue;
      await mustRun([tool, "-w", "-t", "nat", "-D", "POSTROUTING", "-j", CHAIN]);
      await mustRun([tool, "-w", "-t", "nat", "-F", CHAIN]);
      await mustRun([tool, "-w", "-t", "nat", "-X", CHAIN]);
    }
    const table = await runCommand(["nft", "list", "table", family, "nat"]);
    const isEmpty = table.status === 0 && !/^\t\t(?!type )/m.test(table.stdout);
    if (isEmpty) await mustRun(["nft", "delete", "table", family, "nat"]);
  }
  for (const set of SETS) if (await hasIpset(set)) await mustRun(["ipset", "destroy", set]);
}

function readQuietly(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // The kernel has no legacy tables.
    return "";
  }
}

async function hasIpset(name: string): Promise<boolean> {
  try {
    return (await runCommand(["ipset", "list", "-n", name])).status === 0;
  } catch {
    // The program is not there; then nobody here can have looked into the set either.
    return false;
  }
}
