/**
 * Asks the API server about the agent's own DaemonSet: once at the start, to know it, and once at the end, to know whether
 * it is gone. What follows from the answers is core/cni/removal-proof.ts.
 */

import { type DaemonSetSight, decideRemovalProof, type RemovalProof } from "../../core/cni/removal-proof.ts";
import { doublingDelayMs } from "../../core/doubling-delay.ts";
import { messageOf } from "../../core/error-message.ts";
import { DAEMONSET_NAME, type DaemonSet, parseDaemonSet } from "../../core/kube/daemonset.ts";
import { isForbidden, isObjectNotFound, isUnauthorized } from "../../core/kube/kube-api-error.ts";
import type { NodeIdentity } from "../../core/kube/node-affinity.ts";
import { childObject, openObject, stringRecord } from "../../core/kube/object-fields.ts";
import type { Logger } from "../../core/log.ts";
import type { Clock } from "../../platform/clock.ts";
import type { KubeApi } from "../../platform/http/kube-api.ts";

const RETRY_FIRST_MS = 1000;
const RETRY_LONGEST_MS = 60_000;

export type RemovalWatchDeps = {
  readonly api: Pick<KubeApi, "get">;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
};

export interface RemovalWatch {
  /** Looks until the DaemonSet was seen or is known not to be visible, or the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** To be asked at the end, within the signal's time. Never rejects. */
  decide(signal: AbortSignal): Promise<RemovalProof>;
}

/** @param place where the agent runs; without a namespace nothing is ever proven */
export function createRemovalWatch(
  { api, clock, random, log }: RemovalWatchDeps,
  place: { readonly namespace: string | undefined; readonly nodeName: string },
): RemovalWatch {
  const { namespace, nodeName } = place;
  let seen: DaemonSet | undefined;

  const sight = async (signal: AbortSignal): Promise<DaemonSetSight> => {
    if (namespace === undefined) return { kind: "unknown", reason: "POD_NAMESPACE is not set" };
    try {
      const object = await api.get({ plural: "daemonsets", namespace, name: DAEMONSET_NAME }, signal);
      return { kind: "there", daemonSet: parseDaemonSet(object) };
    } catch (error) {
      if (isObjectNotFound(error)) return { kind: "not-found" };
      const may = isForbidden(error) || isUnauthorized(error) ? "it may not be seen" : "the API server did not tell";
      return { kind: "unknown", reason: `${may} (${messageOf(error)})` };
    }
  };

  const findNode = async (signal: AbortSignal): Promise<NodeIdentity | undefined> => {
    try {
      const node = await api.get({ plural: "nodes", name: nodeName }, signal);
      return { name: nodeName, labels: stringRecord(childObject(openObject("Node", node), "metadata"), "labels") };
    } catch {
      return undefined;
    }
  };

  return {
    async run(signal) {
      for (let failures = 1; !signal.aborted; failures++) {
        const found = await sight(signal);
        if (found.kind === "there") {
          seen = found.daemonSet;
          return;
        }
        if (found.kind === "not-found" || found.reason.startsWith("it may not")) {
          const why = found.kind === "not-found" ? `there is none of the name ${DAEMONSET_NAME}` : found.reason;
          log.debug(`The end of the DaemonSet will not be recognised: ${why}`);
          return;
        }
        const delayMs = doublingDelayMs(RETRY_FIRST_MS, RETRY_LONGEST_MS, failures) * (0.5 + random() / 2);
        await clock.sleep(delayMs, signal).catch(() => undefined);
      }
    },
    async decide(signal) {
      const found = await sight(signal);
      const wantsNode = found.kind === "there" && found.daemonSet.nodeTerms !== undefined;
      return decideRemovalProof(seen, found, wantsNode ? await findNode(signal) : undefined);
    },
  };
}
