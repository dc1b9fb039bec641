// What a person can do when probes of the node do not reach enrolled pods: one sentence for what was seen, then what the networks
// are known to need that cause it. Plain words; the options are the networks' own names for them, from Istio's platform
// prerequisites for ambient mode and the issues of pains.md 36, 44, 45.
import type { SelfTestReason, SelfTestVerdict } from "./probe-self-test.ts";

const CILIUM_MASQUERADE =
  "Cilium: bpf.masquerade=false (its eBPF masquerading does not route a link-local source back)";
const CILIUM_SOCKET = "Cilium with kubeProxyReplacement: socketLB.hostNamespaceOnly=true";
const AWS_GROUPS =
  "AWS VPC CNI with security groups for pods: POD_SECURITY_GROUP_ENFORCING_MODE=standard, or DISABLE_TCP_EARLY_DEMUX=true of its init container with AMBIENT_ENABLE_AWS_BRANCH_ENI_PROBE of ours";
const CALICO = "Calico with eBPF: 3.29 or later";
const OVN = "OVN-Kubernetes: local gateway mode (routingViaHost)";

const HINTS: Readonly<Record<SelfTestReason, readonly string[]>> = {
  none: [],
  "other-source": [
    "something gives the node's connections their source before our rule does, or sends them past netfilter (eBPF host routing)",
    CILIUM_MASQUERADE,
    CALICO,
  ],
  "source-unseen": [
    "the node's rule for probes may not see them: eBPF host routing, or masquerading before ours",
    CILIUM_MASQUERADE,
    CALICO,
  ],
  "probe-source-captured": [
    "the rules in the pod are not as they should be, or HOST_PROBE_SNAT_IP differs between agents of this node",
  ],
  rejected: ["a network policy or firewall has to let the probe source in"],
  "request-lost": [
    "a network policy that denies by default has to let the probe source in",
    CILIUM_SOCKET,
    CILIUM_MASQUERADE,
    AWS_GROUPS,
  ],
  "answer-lost": [
    "the network sends the pod's answers elsewhere than to this node",
    CILIUM_MASQUERADE,
    AWS_GROUPS,
    CALICO,
    OVN,
  ],
  lost: [
    "a network policy that denies by default has to let the probe source in",
    CILIUM_MASQUERADE,
    AWS_GROUPS,
    CALICO,
  ],
  untried: [],
};

/** One line; "" where nothing is to be done. `partly`: what concerns a single pod is said first. */
export function renderProbePathHint(reason: SelfTestReason, verdict: SelfTestVerdict): string {
  const hints = HINTS[reason];
  if (hints.length === 0 || verdict === "works") return "";
  const ofPod = "other pods of this node are reached, so look at this pod's network policies and security groups first";
  return [...(verdict === "partly" ? [ofPod] : []), ...hints].join("; ");
}
