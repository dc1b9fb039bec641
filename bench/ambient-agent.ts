// The ztunnel of an agent that is measured in ambient mode: the testbed's, in C. It acknowledges a pod at once and proxies
// nothing, as the one did with which upstream was measured; so an ADD's figure is the agent's and the plugin's.

import type { AgentApiServer } from "../testbed/node/agent.ts";
import { startZtunnel, type ZtunnelProcess } from "../testbed/ztunnel/ztunnel-process.ts";
import type { Bench } from "./bench-node.ts";
import { type MeasuredAgent, startMeasuredAgent } from "./measured-agent.ts";

export const ZTUNNEL_SOCKET = "/run/ztunnel/ztunnel.sock";

export interface AmbientAgent extends AsyncDisposable {
  readonly measured: MeasuredAgent;
  readonly ztunnel: ZtunnelProcess;
}

/** Starts both; resolves when the agent is ready, which takes a ztunnel. @throws {Error} as `startMeasuredAgent()`. */
export async function startAmbientAgent(
  bench: Bench,
  apiServer: AgentApiServer,
  env: Readonly<Record<string, string>>,
): Promise<AmbientAgent> {
  await using undo = new AsyncDisposableStack();
  const ztunnel = undo.use(await startZtunnel({ socketPath: ZTUNNEL_SOCKET, proxies: false }));
  const measured = undo.use(await startMeasuredAgent(bench, "ours", apiServer, { env, ambient: true }));
  const lasting = undo.move();
  return { measured, ztunnel, [Symbol.asyncDispose]: () => lasting.disposeAsync() };
}
