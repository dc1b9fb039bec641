// The machine, which tests must leave as it was, and the environment for programs that are started from a test.
import { globSync, readFileSync } from "node:fs";
import { runCommand } from "../../testbed/node/command.ts";
import { eventually } from "./captured-pods.ts";

/** The test runner's variables make a child report to it. */
export const OUTSIDE = { NODE_TEST_CONTEXT: "" };

/** What a node could leave on the machine, one line each. */
export type MachineState = ReadonlySet<string>;

/** Mounts, interfaces, netfilter tables and the folders a node would write to. */
export async function readMachine(): Promise<MachineState> {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const interfaces = (await runCommand(["ip", "-o", "-br", "link"])).stdout.split("\n");
  const tables = (await runCommand(["nft", "list", "tables"])).stdout.split("\n");
  const folders = globSync(["/etc/cni", "/opt/cni", "/var/lib/cni", "/run/containerd", "/run/testbed"]);
  // The first word of an interface is its name; what follows changes by itself.
  return new Set([...mounts, ...interfaces.map((line) => line.split(" ")[0] ?? ""), ...tables, ...folders]);
}

/** The kernel takes a moment to finish what was killed. @throws {Error} with what stays and was not there before. */
export async function assertNothingLeft(before: MachineState): Promise<void> {
  let left: ReadonlySet<string> = new Set();
  await eventually(
    async () => {
      left = (await readMachine()).difference(before);
      return left.size === 0;
    },
    () => `left on the machine:\n${[...left].join("\n")}`,
  );
}
