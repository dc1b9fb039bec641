// The machine as tests on it may not change it, and the environment for programs that are started from a test.
import { globSync, readFileSync } from "node:fs";
import { runCommand } from "../../testbed/node/command.ts";

/** The test runner's variables make a child report to it. */
export const OUTSIDE = { NODE_TEST_CONTEXT: "" };

/** Mounts, interfaces, netfilter tables and the folders a node would write to, to be compared before and after. */
export async function readMachine(): Promise<Readonly<Record<string, string>>> {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  const interfaces = await runCommand(["ip", "-o", "-br", "link"]);
  const tables = await runCommand(["nft", "list", "tables"]);
  const folders = globSync(["/etc/cni", "/opt/cni", "/var/lib/cni", "/run/containerd", "/run/testbed"]);
  return { mounts, interfaces: interfaces.stdout, tables: tables.stdout, folders: folders.join("\n") };
}
