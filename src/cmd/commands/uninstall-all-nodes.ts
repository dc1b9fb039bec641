/**
 * `install-cni uninstall --all-nodes`: ends the agents of all nodes so that each cleans its node while it may still prove that
 * this is the end (ADR 16). For the chart's pre-delete hook and for people; works through the API server only.
 */
import { type AgentsEnd, endAgents } from "../../agent/install/end-agents.ts";
import { messageOf } from "../../core/error-message.ts";
import { DAEMONSET_NAME } from "../../core/kube/daemonset.ts";
import { printable, renderJson } from "../../core/text-columns.ts";
import { createSystemClock } from "../../platform/clock.ts";
import { createKubeClient } from "../../platform/http/kube-client.ts";
import { buildInfo } from "../build-info.ts";
import { credentialsOf } from "../kube-credentials.ts";

export interface UninstallAllNodesInput {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly output: "text" | "json";
}

/** Less than the 300 s that helm waits for a hook by itself. */
const DEADLINE_MS = 270_000;
/** Of one request: one that hangs must not use the time of all. */
const REQUEST_DEADLINE_MS = 10_000;

/** Exit code 0: every agent has ended that could clean its node. 1: not all, or not at all; it may be run again. */
export async function uninstallAllNodes({ env, output }: UninstallAllNodesInput): Promise<{
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: 0 | 1;
}> {
  const end = await attempt(env);
  const isDone = end.result !== "failed" && (end.unattended ?? []).length === 0;
  return {
    stdout: output === "json" ? renderJson({ isDone, ...end, reason: end.reason ?? null }) : renderAgentsEnd(end),
    stderr: "",
    exitCode: isDone ? 0 : 1,
  };
}

async function attempt(env: UninstallAllNodesInput["env"]): Promise<AgentsEnd> {
  const failed = (reason: string): AgentsEnd => ({ result: "failed", unattended: undefined, waitingFor: [], reason });
  const namespace = env["POD_NAMESPACE"] ?? "";
  if (namespace === "") return failed("POD_NAMESPACE is not set: it names the namespace of the DaemonSet");
  const clock = createSystemClock();
  try {
    const place = {
      kubeconfigPath: env["KUBECONFIG"] || undefined,
      serviceHost: env["KUBERNETES_SERVICE_HOST"],
      servicePort: env["KUBERNETES_SERVICE_PORT"],
    };
    const api = createKubeClient(credentialsOf(place, clock.nowMs), {
      userAgent: `istio-install-cni/${buildInfo.version}`,
      deadlineMs: REQUEST_DEADLINE_MS,
    });
    try {
      return await endAgents({ api, clock }, namespace, AbortSignal.timeout(DEADLINE_MS));
    } finally {
      api.close();
    }
  } catch (error) {
    return failed(messageOf(error));
  }
}

/** For people; ends with a line break. */
export function renderAgentsEnd({ result, unattended, waitingFor, reason }: AgentsEnd): string {
  const head = {
    gone: [`Deleted the DaemonSet ${DAEMONSET_NAME}, and every agent has ended`],
    absent: [`There is no DaemonSet ${DAEMONSET_NAME}, and no agent`],
    failed: [`Cannot end the agents: ${reason}`],
  }[result];
  const clean = "install-cni uninstall has to be run there";
  const lines = [
    ...head,
    ...waitingFor.map((node) => `The agent on node ${node} has not ended`),
    ...(unattended ?? []).map((node) => `No agent was running on node ${node}: ${clean}`),
    ...(unattended === undefined && result !== "failed"
      ? ["Pods may not be listed: whether an agent ran on every node is not known"]
      : []),
  ];
  return lines.map((line) => `${printable(line)}\n`).join("");
}
