// The demo as somebody sees it who types `make demo` on the machine.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, startCommand } from "../../testbed/node/command.ts";
import { REPOSITORY } from "../../testbed/node/repository.ts";
import { assertNothingLeft, OUTSIDE, readMachine } from "./machine-state.ts";

const DEMO = [join(REPOSITORY, "tools/node"), join(REPOSITORY, "testbed/demo/main.ts")];

test("the demo finds every pod as expected, in plain text of 100 columns, and leaves the machine as it was", async () => {
  const before = await readMachine();
  const { status, stdout, stderr } = await runCommand(DEMO, { env: OUTSIDE, timeoutMs: 300_000 });
  assert.equal(stderr, "");
  assert.equal(status, 0, stdout);
  assert.match(stdout, /As expected: 5 pods are in the mesh and captured, 4 are outside and untouched\./);
  assert.match(stdout, /As expected: 3 pods are in the mesh by ztunnel, 2 are outside and untouched\./);
  for (const line of stdout.split("\n"))
    assert.ok(line.length <= 100 && !line.includes("\u001b"), `${line.length}: ${line}`);
  await assertNothingLeft(before);
});

test("the demo with --keep stays until it is told to end, in the way it says", async () => {
  const before = await readMachine();
  await using demo = startCommand([...DEMO, "--keep"], { env: OUTSIDE });
  const line = await demo.waitForLine((text) => /^ {4}kill \d+$/.test(text), 180_000);
  const enter =
    demo.lines
      .find((text) => text.startsWith("    nsenter -t "))
      ?.trim()
      .split(" ") ?? [];
  // In place of the shell: what is there to see of the agent.
  const seen = await runCommand([...enter.slice(0, -1), "curl", "-s", "localhost:15014/metrics"]);
  assert.match(seen.stdout, /istio_cni_agent_decisions_total\{mode="sidecar",decision="in",reason="sidecar"\} \d+/);
  process.kill(Number(line.trim().split(" ")[1]), "SIGTERM");
  assert.equal(await demo.exited, 0);
  await assertNothingLeft(before);
});

test("the demo refuses options that it does not know", async () => {
  const { status, stderr } = await runCommand([...DEMO, "--kepe"], { env: OUTSIDE });
  assert.equal(status, 1);
  assert.match(stderr, /Unknown option '--kepe'/);
});
