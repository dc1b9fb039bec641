// What the agent listens on: two ports, neither of which does anything but tell. With hostNetwork these are the node's.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { createMeshNode, type MeshNode } from "../../testbed/node/mesh-node.ts";
import { assertAlive } from "./captured-pods.ts";

enterNodeNamespaces();

const CONTROLZ = 9876;

describe("the agent's ports", () => {
  let mesh: MeshNode;
  let agent: TestAgent;
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
    agent = await mesh.startAgent({
      args: ["--log_output_level=info", `--ctrlz_port=${CONTROLZ}`, "--ctrlz_address=*"],
    });
  });
  after(() => mesh.destroy());

  test("there is none by which anybody on the node could end it (D35)", async () => {
    assert.equal(await isOpen(CONTROLZ), false, "ControlZ is served");
    for (const port of [8000, 15014]) {
      for (const method of ["PUT", "POST", "GET"]) {
        const answer = await fetch(`http://${agent.address}:${port}/homej/exit`, { method });
        assert.ok(answer.status >= 400, `${method} on ${port} is answered with ${answer.status}`);
        await answer.text();
      }
    }
    assertAlive(agent);
    assert.equal((await agent.get(8000, "/readyz")).status, 200);
  });
});

async function isOpen(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  const { promise, resolve } = Promise.withResolvers<boolean>();
  socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
  return await promise.finally(() => socket.destroy());
}
