// Seen from the machine: whatever ends the process that holds a node, the machine is as it was before.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type RunningCommand, runCommand, startCommand } from "../../testbed/node/command.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";
import { eventually } from "./captured-pods.ts";
import { assertNothingLeft, OUTSIDE, readMachine } from "./machine-state.ts";

const NODE = join(REPOSITORY, "tools/node");
const HELD_NODE = join(import.meta.dirname, "held-node.ts");

interface Held {
  readonly initPid: number;
  readonly cgroup: string;
}

const ENDINGS: Readonly<Record<string, { readonly argv: readonly string[]; readonly signal: NodeJS.Signals }>> = {
  "is terminated": { argv: [NODE, HELD_NODE], signal: "SIGTERM" },
  "is interrupted": { argv: [NODE, HELD_NODE], signal: "SIGINT" },
  "is killed": { argv: [NODE, HELD_NODE], signal: "SIGKILL" },
  // The shell is killed, not the node's process.
  "loses its parent": { argv: ["sh", "-c", `"${NODE}" "${HELD_NODE}"; exit`], signal: "SIGKILL" },
};

for (const [ending, { argv, signal }] of Object.entries(ENDINGS)) {
  test(`a node leaves no process, mount, interface or cgroup when its holder ${ending}`, async () => {
    const before = await readMachine();
    await using command = startCommand(argv, { env: OUTSIDE });
    const held = await waitUntilHeld(command);
    assert.ok(processesOf(held).length > 3, "the node runs containerd, a shim and a sandbox");
    assert.ok(cgroupsOf(held).length > 0, "the sandbox has cgroups");

    process.kill(command.pid, signal);
    await eventually(
      () => processesOf(held).length === 0 && cgroupsOf(held).length === 0,
      () => `still there\n${[...processesOf(held), ...cgroupsOf(held)].join("\n")}`,
    );
    await command.exited;
    await assertNothingLeft(before);
  });
}

test("enterNodeNamespaces() passes exit status, arguments and output through", async () => {
  const enter = join(REPOSITORY, "testbed/node/enter.ts");
  const script = `
    const { enterNodeNamespaces } = await import(${JSON.stringify(enter)});
    enterNodeNamespaces({ hostname: "elsewhere" });
    const { hostname } = await import("node:os");
    console.log(process.argv.at(-1), hostname());
    process.exit(7);
  `;
  const done = await runCommand([NODE, "--input-type=module", "--eval", script, "an argument"], { env: OUTSIDE });
  assert.equal(done.stderr, "");
  assert.equal(done.stdout, "an argument elsewhere\n");
  assert.equal(done.status, 7);
});

async function waitUntilHeld(command: RunningCommand): Promise<Held> {
  const line: unknown = JSON.parse(await command.waitForLine((text) => text.startsWith('{"held"')));
  assert.ok(typeof line === "object" && line !== null && "initPid" in line && "cgroup" in line);
  return { initPid: Number(line.initPid), cgroup: String(line.cgroup) };
}

/** Every process that was started inside has the variable that names its cgroup, or is a descendant in its cgroups. */
function processesOf(held: Held): readonly string[] {
  return globSync("/proc/[0-9]*/environ").filter((path) => {
    try {
      return readFileSync(path, "utf8").includes(`TESTBED_CGROUP=${held.cgroup}\0`);
    } catch {
      return false;
    }
  });
}

function cgroupsOf(held: Held): readonly string[] {
  return globSync(`/sys/fs/cgroup/{,*/}${held.cgroup}`);
}
