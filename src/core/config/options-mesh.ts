/**
 * Options that decide which pods are in the mesh and how their traffic is redirected, in sidecar and in ambient mode.
 * Names, defaults and meaning: contract 1.2, 1.3 (upstream cni/pkg/cmd/root.go and cni/pkg/nodeagent/options.go@1.30.3).
 */

import { DEFAULT_ENABLEMENT_SELECTORS } from "../policy/enablement-selectors.ts";
import { DEFAULT_PROBE_SOURCE } from "../rules/ambient-numbers.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../rules/sidecar-capture.ts";
import { ENABLEMENT_SELECTORS, probeAddress } from "./ambient-value-type.ts";
import { IPV4_CIDR, NAMESPACE, NAMESPACE_LIST, OWNER_GROUP_LIST, OWNER_GROUPS } from "./domain-value-type.ts";
import { option } from "./option.ts";
import { absolutePath, BOOL, oneOf, TEXT } from "./value-type.ts";

/** Longest path a unix socket can have, without the closing zero. */
const SOCKET_PATH_MAX = 107;

export const POLICY_OPTIONS = {
  excludeNamespaces: option({
    env: "EXCLUDE_NAMESPACES",
    type: NAMESPACE_LIST,
    fallback: [],
    doc: "Namespaces whose pods are never touched, with commas between them.",
  }),
  strictFamilies: option({
    env: "STRICT_FAMILIES",
    type: BOOL,
    fallback: false,
    doc: "Capture every address family a pod has, even where upstream would let one pass (not upstream's).",
  }),
  nativeNftables: option({
    env: "NATIVE_NFTABLES",
    type: BOOL,
    fallback: false,
    doc: "Write native nftables tables instead of iptables ones.",
  }),
  forceIptablesBinary: option({
    env: "FORCE_IPTABLES_BINARY",
    type: oneOf(["", "legacy", "nft"]),
    fallback: "",
    fallbackText: "detected",
    doc: "Backend of the iptables rules; without effect together with NATIVE_NFTABLES.",
  }),
} as const;

export const SIDECAR_OPTIONS = {
  outboundOwnerGroups: option({
    env: "ISTIO_OUTBOUND_OWNER_GROUPS",
    type: OWNER_GROUPS,
    fallback: "*",
    doc: "Groups whose processes' outbound traffic is captured.",
  }),
  outboundOwnerGroupsExclude: option({
    env: "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE",
    type: OWNER_GROUP_LIST,
    fallback: [],
    doc: "Groups whose processes' outbound traffic is left alone; only with the groups above at '*'.",
  }),
  outboundIpv4LoopbackCidr: option({
    env: "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR",
    type: IPV4_CIDR,
    fallback: DEFAULT_SIDECAR_CAPTURE.loopbackCidrV4,
    doc: "IPv4 loopback range that is not captured.",
  }),
  envoyUser: option({
    env: "ENVOY_USER",
    type: TEXT,
    fallback: "",
    doc: "User name of the proxy.",
    inert: "the proxy's user id comes from the pod",
  }),
} as const;

export const AMBIENT_OPTIONS = {
  enabled: option({
    flag: "ambient-enabled",
    env: "AMBIENT_ENABLED",
    type: BOOL,
    fallback: false,
    doc: "Enroll pods into ambient mode.",
  }),
  enablementSelectors: option({
    env: "AMBIENT_ENABLEMENT_SELECTOR",
    type: ENABLEMENT_SELECTORS,
    fallback: DEFAULT_ENABLEMENT_SELECTORS,
    fallbackText:
      "pods labelled istio.io/dataplane-mode=ambient, and those of namespaces labelled so unless they say none",
    doc: "List of {podSelector, namespaceSelector} in YAML or JSON; a pod that matches both of an entry is enrolled. [] stands for no pod.",
  }),
  whenAway: option({
    env: "AMBIENT_WHEN_AWAY",
    type: oneOf(["enroll-later", "strict"]),
    fallback: "enroll-later",
    doc: "What a pod gets when no agent answers the plugin in time, in a namespace that never enrolled any: enroll-later lets it start and enrolls it if need be once the agent is back, strict refuses it (not upstream's).",
  }),
  ztunnelUdsAddress: option({
    flag: "ztunnel-uds-address",
    env: "ZTUNNEL_UDS_ADDRESS",
    type: absolutePath({ maxLength: SOCKET_PATH_MAX }),
    fallback: "/var/run/ztunnel/ztunnel.sock",
    doc: "Socket on which ztunnel is served.",
  }),
  detectionRetry: option({
    flag: "enable-ambient-detection-retry",
    env: "ENABLE_AMBIENT_DETECTION_RETRY",
    type: BOOL,
    fallback: false,
    doc: "Upstream: the plugin asks the API server longer; here it asks the agent, which waits for the answer anyway.",
    inert: "the plugin asks the agent, which waits for the answer anyway",
  }),
  dnsCapture: option({
    env: "AMBIENT_DNS_CAPTURE",
    type: BOOL,
    fallback: false,
    doc: "Redirect DNS of ambient pods to ztunnel.",
  }),
  ipv6: option({
    env: "AMBIENT_IPV6",
    type: BOOL,
    fallback: false,
    doc: "Capture the IPv6 traffic of ambient pods too.",
  }),
  disableSafeUpgrade: option({
    env: "AMBIENT_DISABLE_SAFE_UPGRADE",
    type: BOOL,
    fallback: false,
    doc: "Clean up at every exit, not only when removal is proven.",
  }),
  reconcilePodRulesOnStartup: option({
    env: "AMBIENT_RECONCILE_POD_RULES_ON_STARTUP",
    type: BOOL,
    fallback: false,
    doc: "Bring the rules of pods that are already enrolled up to date at start.",
    inert: "the rules of enrolled pods are verified at start and from then on",
  }),
  systemNamespace: option({
    env: "SYSTEM_NAMESPACE",
    type: NAMESPACE,
    fallback: "istio-system",
    doc: "Namespace in which a pod labelled app=ztunnel is a ztunnel.",
  }),
  hostProbeSnatIp: option({
    env: "HOST_PROBE_SNAT_IP",
    type: probeAddress(4),
    fallback: DEFAULT_PROBE_SOURCE.v4,
    doc: "IPv4 source address that probes of the host get.",
  }),
  hostProbeSnatIpv6: option({
    env: "HOST_PROBE_SNAT_IPV6",
    type: probeAddress(6),
    fallback: DEFAULT_PROBE_SOURCE.v6,
    doc: "IPv6 source address that probes of the host get.",
  }),
  useScopedXtablesLocking: option({
    env: "AMBIENT_USE_SCOPED_XTABLES_LOCKING",
    type: BOOL,
    fallback: true,
    doc: "Run the legacy iptables tools, where they are needed, with a lock file of their own.",
    inert: "they always have one of their own",
  }),
  enableAwsBranchEniProbe: option({
    env: "AMBIENT_ENABLE_AWS_BRANCH_ENI_PROBE",
    type: BOOL,
    fallback: true,
    doc: "Make probes reach pods that have an AWS branch network interface.",
  }),
  allowSwitchToHostNs: option({
    env: "ALLOW_SWITCH_TO_HOST_NS",
    type: BOOL,
    fallback: false,
    doc: "Upstream: work of the node is done in its network namespace instead of the agent's own.",
    inert: "the node's network namespace is found through /host/proc, whether or not it is the agent's own",
  }),
} as const;
