// A node for tests of which each starts an agent of its own, with its own options: after each of them the agent is ended, and the
// folder of configurations is as it was before.
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before } from "node:test";
import type { TestAgent } from "../../testbed/node/agent.ts";
import { createMeshNode, type MeshAgentOptions, type MeshNode } from "../../testbed/node/mesh-node.ts";

export const NET_DIR = "/etc/cni/net.d";
export const CONFLIST = join(NET_DIR, "10-testbed.conflist");

export interface OneAgent {
  /** From the first hook on. */
  readonly mesh: MeshNode;
  /** The pod network's conflist without us. */
  readonly conflist: string;
  /** Starts the agent; resolves when it is ready. */
  launch(options: MeshAgentOptions): Promise<TestAgent>;
  /** Ends the present agent, if there is one. */
  stop(): Promise<void>;
}

/** To be called within `describe()`, whose hooks do the work. */
export function useOneAgent(): OneAgent {
  let mesh: MeshNode | undefined;
  let conflist = "";
  let agent: TestAgent | undefined;
  const one: OneAgent = {
    get mesh() {
      if (mesh === undefined) throw new Error("Cannot use the node: it is made by the first hook");
      return mesh;
    },
    get conflist() {
      return conflist;
    },
    async launch(options) {
      agent = await one.mesh.launchAgent(options);
      await agent.waitReady();
      return agent;
    },
    async stop() {
      await agent?.stop();
      agent = undefined;
    },
  };
  before(async () => {
    mesh = await createMeshNode({ families: "v4" });
    conflist = readFileSync(CONFLIST, "utf8");
  });
  after(() => mesh?.destroy());
  afterEach(async () => {
    await one.stop();
    for (const name of readdirSync(NET_DIR)) rmSync(join(NET_DIR, name));
    writeFileSync(CONFLIST, conflist);
  });
  return one;
}
