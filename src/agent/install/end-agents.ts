/**
 * The end of all agents at once, in the one order in which each of them can prove it: their DaemonSet is deleted so that it
 * stands until its pods are gone ("foreground", kubernetes.io "Garbage Collection"), and who asks for it at SIGTERM sees that
 * it is being deleted (core/cni/removal-proof.ts). What the chart's pre-delete hook does, before helm takes the rights away.
 */

import { messageOf } from "../../core/error-message.ts";
import { DAEMONSET_NAME, parseDaemonSet } from "../../core/kube/daemonset.ts";
import { isForbidden, isObjectNotFound, isUnauthorized } from "../../core/kube/kube-api-error.ts";
import { createListPageReader } from "../../core/kube/list-page.ts";
import { childObject, objectList, openObject, optionalString } from "../../core/kube/object-fields.ts";
import type { Clock } from "../../platform/clock.ts";
import type { KubeApi } from "../../platform/http/kube-api.ts";

/** What the chart gives the agents' pods (contract 2.3). */
const AGENT_LABEL = "k8s-app=istio-cni-node";
const LOOK_AGAIN_MS = 1000;
const PAGE = 500;
const BOUNDS = { maxItemBytes: 1 << 20, maxItems: PAGE };

export interface EndAgentsDeps {
  readonly api: Pick<KubeApi, "get" | "delete" | "list">;
  readonly clock: Clock;
}

export interface AgentsEnd {
  /** gone: the DaemonSet is not there any more. absent: it was not there. */
  readonly result: "gone" | "absent" | "failed";
  /** Nodes on which an agent was to run and did not: nobody has cleaned them. Undefined: they may not be seen. */
  readonly unattended: readonly string[] | undefined;
  /** Nodes whose agent had not ended when time was up. */
  readonly waitingFor: readonly string[];
  /** Why it failed. */
  readonly reason: string | undefined;
}

interface AgentPod {
  readonly node: string;
  readonly isRunning: boolean;
}

/** Deletes the DaemonSet of `namespace` and waits until its pods are gone, or the signal aborts. Never rejects. */
export async function endAgents(
  { api, clock }: EndAgentsDeps,
  namespace: string,
  signal: AbortSignal,
): Promise<AgentsEnd> {
  const ref = { plural: "daemonsets", namespace, name: DAEMONSET_NAME } as const;
  const what = `${namespace}/${DAEMONSET_NAME}`;
  let unattended: readonly string[] | undefined;

  const find = async (): Promise<string | undefined> => {
    try {
      return parseDaemonSet(await api.get(ref, signal)).uid;
    } catch (error) {
      if (isObjectNotFound(error)) return undefined;
      throw error;
    }
  };
  /** Their pods; undefined where they may not be seen, which keeps nobody from ending; or why the API did not tell this time. */
  const agents = async (): Promise<readonly AgentPod[] | undefined | string> => {
    try {
      return await listAgents(api, namespace, AbortSignal.any([signal, AbortSignal.timeout(10_000)]));
    } catch (error) {
      if (signal.aborted) throw error;
      return isForbidden(error) || isUnauthorized(error) ? undefined : messageOf(error);
    }
  };
  const failed = (reason: string, waitingFor: readonly AgentPod[] = []): AgentsEnd => {
    return { result: "failed", unattended, waitingFor: waitingFor.map(({ node }) => node), reason };
  };

  let uid: string | undefined;
  let isAsked = false;
  let trouble: string | undefined;
  let standing: readonly AgentPod[] = [];
  while (!signal.aborted) {
    try {
      const now = await find();
      if (uid !== undefined && now !== undefined && now !== uid)
        return failed(`somebody has made the DaemonSet ${what} anew`);
      uid ??= now;
      const told = await agents();
      const pods = typeof told === "string" ? undefined : told;
      if (!isAsked) unattended = pods?.filter(({ isRunning }) => !isRunning).map(({ node }) => node);
      trouble = typeof told === "string" ? told : undefined;
      if (trouble === undefined) standing = pods ?? [];
      if (now !== undefined && !isAsked) await api.delete(ref, { uid: now, propagation: "Foreground" }, signal);
      isAsked = true;
      // Where it was deleted in another way, its pods are there without it.
      if (now === undefined && trouble === undefined && standing.length === 0)
        return { result: uid === undefined ? "absent" : "gone", unattended, waitingFor: [], reason: undefined };
    } catch (error) {
      if (isForbidden(error) || isUnauthorized(error)) return failed(messageOf(error));
      // Somebody else was faster, or the API is away for a moment: what counts is that it goes.
      if (!signal.aborted) trouble = messageOf(error);
    }
    await clock.sleep(LOOK_AGAIN_MS, signal).catch(() => undefined);
  }
  return failed(trouble ?? `time is up, and the DaemonSet ${what} still has pods`, standing);
}

async function listAgents(
  api: Pick<KubeApi, "list">,
  namespace: string,
  signal: AbortSignal,
): Promise<readonly AgentPod[]> {
  const agents: AgentPod[] = [];
  let continueToken = "";
  do {
    const query = { labelSelector: AGENT_LABEL, limit: PAGE, continueToken, resourceVersion: "" };
    const reader = createListPageReader(parseAgentPod, BOUNDS);
    for await (const chunk of await api.list({ plural: "pods", namespace }, query, signal)) reader.push(chunk);
    const page = reader.end();
    agents.push(...page.objects);
    ({ continueToken } = page);
  } while (continueToken !== "");
  return agents;
}

/** A pod that has no node yet has nothing to clean. @throws {KubeObjectError} */
function parseAgentPod(value: unknown): AgentPod {
  const pod = openObject("Pod", value);
  const status = childObject(pod, "status");
  const running = objectList(status, "containerStatuses").map(
    (container) => Object.keys(childObject(childObject(container, "state"), "running").fields).length > 0,
  );
  const node = optionalString(childObject(pod, "spec"), "nodeName") ?? "";
  return { node, isRunning: node === "" || running.includes(true) };
}
