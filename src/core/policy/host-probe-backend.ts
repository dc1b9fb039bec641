// How the host's probe rules are written: as the pods' are, unless this kernel cannot. Pods do not see which it is, they only
// see where probes come from, so a node without ipset may have iptables rules in its pods and the native table on the host.

import type { BackendDialect } from "./backend-features.ts";

/** What happened to the host's rules in a namespace nobody uses, per dialect: why they did not stand; undefined: they did. */
export type HostProbeFacts = Readonly<Record<BackendDialect, string | undefined>>;

/** The node's decision. `message` is one sentence for log, status and doctor. */
export type HostProbeDecision = {
  readonly dialect: BackendDialect;
  readonly reason: "as-pods" | "pods-dialect-fails" | "nothing-works";
  /** False: probes of the kubelet do not reach ambient pods that have a policy against plain text. */
  readonly works: boolean;
  readonly message: string;
};

/** Chooses for a node whose pods are written in dialect `ofPods`. */
export function decideHostDialect(ofPods: BackendDialect, facts: HostProbeFacts): HostProbeDecision {
  const why = facts[ofPods];
  if (why === undefined) {
    return { dialect: ofPods, reason: "as-pods", works: true, message: `Probes are let into pods as ${ofPods}` };
  }
  if (facts.nftables === undefined) {
    const message = `Probes are let into pods as nftables, by the kubelet's user, because ${ofPods} cannot: ${why}`;
    return { dialect: "nftables", reason: "pods-dialect-fails", works: true, message };
  }
  const both = ofPods === "nftables" ? why : `${why}; as nftables: ${facts.nftables}`;
  const message = `Probes of the node cannot be let into ambient pods as ${ofPods}: ${both}`;
  return { dialect: ofPods, reason: "nothing-works", works: false, message };
}
