// `install-cni` beside a running agent, as `kubectl exec` runs it.

import type { TestAgent } from "../../testbed/node/agent.ts";
import { type CommandResult, runCommand } from "../../testbed/node/command.ts";
import { INSTALL_CNI } from "../../testbed/node/mesh-node.ts";

/** In place of root, whom alone the agent answers. */
export const NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/** What enters the agent's container. Its network is the node's, and not entered by the agent's /proc entry: the agent may be
 * in a pod's for a moment. */
export function enterContainer({ pid }: TestAgent): readonly string[] {
  return ["nsenter", `--target=${pid}`, "--mount", "--pid", "--uts", "--ipc", "--root"];
}

/** Runs install-cni inside the agent's container, `as` somebody else where that is told. */
export function askAgent(
  agent: TestAgent,
  args: readonly string[],
  as: readonly string[] = [],
): Promise<CommandResult> {
  return runCommand([...enterContainer(agent), ...as, INSTALL_CNI, ...args]);
}
