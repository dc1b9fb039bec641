/**
 * Whether the end of this agent is the end of the installation. Only proof removes anything: the agent's DaemonSet was seen
 * by this agent and is gone now, is being deleted, or does not want this node any more. "Forbidden", "unauthorized" and "no
 * answer" prove nothing (contract 10.2 D8, DESIGN 3.3), nor does "not found" for a DaemonSet that was never seen: it may have
 * another name.
 */
import type { DaemonSet } from "../kube/daemonset.ts";
import { matchesNodeTerms, type NodeIdentity } from "../kube/node-affinity.ts";

/** What the API server said when it was asked at the end. */
export type DaemonSetSight =
  | { readonly kind: "there"; readonly daemonSet: DaemonSet }
  | { readonly kind: "not-found" }
  | { readonly kind: "unknown"; readonly reason: string };

export type RemovalProof = { readonly isProven: boolean; readonly reason: string };

/** `node`: undefined when it could not be read. */
export function decideRemovalProof(
  seen: DaemonSet | undefined,
  sight: DaemonSetSight,
  node: NodeIdentity | undefined,
): RemovalProof {
  if (sight.kind === "unknown") return keep(sight.reason);
  if (seen === undefined) return keep("this agent never saw its DaemonSet");
  if (sight.kind === "not-found") return proven("its DaemonSet is gone");
  const { daemonSet } = sight;
  if (daemonSet.isDeleting) return proven("its DaemonSet is being deleted");
  if (daemonSet.nodeTerms === undefined) return keep("its DaemonSet is there");
  if (node === undefined) return keep("its DaemonSet is there, and whether it wants this node is not known");
  return matchesNodeTerms(daemonSet.nodeTerms, node)
    ? keep("its DaemonSet is there and wants this node")
    : proven(`its DaemonSet does not want the node ${node.name} any more`);
}

function keep(reason: string): RemovalProof {
  return { isProven: false, reason };
}

function proven(reason: string): RemovalProof {
  return { isProven: true, reason };
}
