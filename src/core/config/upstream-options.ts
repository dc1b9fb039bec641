/**
 * What upstream makes of each option of ours: which releases read it, its default there, and where we differ. For
 * docs/configuration.md and the tests; nothing that runs imports it. Source: contract 1.2-1.4 and 11, which compare
 * istio 1.28.10, 1.29.6, 1.30.3 and 1.31.0-rc.0 (cni/pkg/cmd/root.go, cni/pkg/nodeagent/options.go, pkg/log, pkg/ctrlz).
 */

import type { OptionId } from "./options.ts";

/**
 * Releases that read it: `all` from 1.28 to 1.31; `dead`: registered there, and never read; `nobody`: set by the chart, or
 * promised by a guide, and read by nobody; `runtime`: by the runtime or a library in it; `ours`: upstream knows no such name.
 */
export type UpstreamReader = "all" | "1.30 and 1.31" | "later patches" | "dead" | "nobody" | "runtime" | "ours";

export interface UpstreamOption {
  readonly reader: UpstreamReader;
  /** Its default there, as the operator would write it, where that is another one than ours. */
  readonly fallback?: string;
  /** What is different here; a sentence without a full stop. */
  readonly difference?: string;
}

const all: UpstreamOption = { reader: "all" };
const ours: UpstreamOption = { reader: "ours" };
const nobody: UpstreamOption = { reader: "nobody" };

function differs(difference: string, more: Partial<UpstreamOption> = {}): UpstreamOption {
  return { reader: "all", difference, ...more };
}

export const UPSTREAM_OPTIONS: Readonly<Record<OptionId, UpstreamOption>> = {
  "install.cniConfName": differs(
    "a name with a slash is refused, and one that is no .conf where CHAINED_CNI_PLUGIN is false",
  ),
  "install.chainedCniPlugin": all,
  "install.istioOwnedCniConfig": all,
  "install.istioOwnedCniConfigFilename": differs(
    "what does not end in .conflist is refused: no runtime would read the list",
  ),
  "install.istioOwnedCniConfFilename": differs("upstream's chart sets it and its agent does not read it (defect D5)", {
    reader: "nobody",
  }),
  "install.mountedCniNetDir": all,
  "install.cniNetDir": differs("promised by the hardened image's guide (P16)", { reader: "nobody" }),
  "install.cniBinDir": differs(
    "promised by the hardened image's guide (P17); upstream has /host/opt/cni/bin built in",
    {
      reader: "nobody",
    },
  ),
  "install.cniNetworkConfig": differs("its keys lie under the generated object (P18), which wins", { reader: "dead" }),
  "install.cniNetworkConfigFile": differs("as CNI_NETWORK_CONFIG", { reader: "dead" }),
  "install.cniAgentRunDir": differs("the path has at most 90 bytes, so that its sockets can be bound"),
  "install.cniConfGroupRead": { reader: "1.30 and 1.31" },
  "install.kubecfgFileName": differs(
    "promised by the hardened image's guide (P21): a file of this name beside the CNI configuration is removed when nobody uses it",
    { reader: "nobody" },
  ),
  "install.conflistFight": ours,
  "install.hostKubeconfig": ours,
  "install.kubeconfigMode": differs("only with HOST_KUBECONFIG; a mode without a leading 0 is warned of"),
  "install.kubeCaFile": differs("only with HOST_KUBECONFIG"),
  "install.skipTlsVerify": differs("only with HOST_KUBECONFIG"),
  "install.pluginAgentWait": ours,
  "api.serviceHost": all,
  "api.servicePort": differs("443 where it is not set; upstream then installs nothing", { fallback: '""' }),
  "api.kubeconfig": differs("one path; a list of paths is refused"),
  "api.nodeName": differs("upstream reads it in ambient mode only", { fallback: '""' }),
  "api.kubernetesNodeName": differs("upstream logs it only"),
  "api.podName": differs("upstream reads it and does nothing with it"),
  "api.podNamespace": all,
  "policy.excludeNamespaces": differs(
    "blanks and empty names are dropped, as upstream does from 1.30 on; what is no namespace's name is refused",
  ),
  "policy.strictFamilies": ours,
  "policy.nativeNftables": all,
  "policy.forceIptablesBinary": differs("honoured for sidecar pods too (upstream: ambient mode only)"),
  "sidecar.outboundOwnerGroups": differs("the agent's environment counts, for plugin and repair alike; validated"),
  "sidecar.outboundOwnerGroupsExclude": differs("as ISTIO_OUTBOUND_OWNER_GROUPS"),
  "sidecar.outboundIpv4LoopbackCidr": differs("as ISTIO_OUTBOUND_OWNER_GROUPS"),
  "sidecar.envoyUser": all,
  "ambient.enabled": all,
  "ambient.enablementSelectors": differs(
    "where it is not set, the selectors of upstream's chart hold, so that AMBIENT_ENABLED alone does something (P23)",
    { fallback: '"", which enrolls nothing' },
  ),
  "ambient.whenAway": ours,
  "ambient.ztunnelUdsAddress": differs("at most 107 bytes"),
  "ambient.detectionRetry": differs("no retry is needed: the agent waits for the answer"),
  "ambient.dnsCapture": differs("upstream's chart sets it to true"),
  "ambient.ipv6": differs("upstream's chart sets it to true"),
  "ambient.disableSafeUpgrade": all,
  "ambient.reconcilePodRulesOnStartup": differs("rules are always looked at, at start and from then on"),
  "ambient.systemNamespace": all,
  "ambient.hostProbeSnatIp": differs("malformed: an error at start; upstream panics, in every mode"),
  "ambient.hostProbeSnatIpv6": differs("as HOST_PROBE_SNAT_IP"),
  "ambient.useScopedXtablesLocking": differs("legacy iptables always has a lock of its own"),
  "ambient.enableAwsBranchEniProbe": { reader: "later patches" },
  "ambient.allowSwitchToHostNs": differs("not needed: the node's namespace is found through /host/proc"),
  "verify.interval": ours,
  "verify.wholeInterval": ours,
  "repair.enabled": all,
  "repair.repairPods": differs("upstream's chart sets it to true"),
  "repair.deletePods": all,
  "repair.labelPods": all,
  "repair.brokenPodLabelKey": differs("what is no label key is refused"),
  "repair.brokenPodLabelValue": differs("what is no label value is refused"),
  "repair.nodeName": differs("empty stands for NODE_NAME; upstream then watches pods of no node"),
  "repair.sidecarAnnotation": differs("an empty variable counts as unset; an empty flag stands for any pod"),
  "repair.initContainerName": differs("an empty variable counts as unset; an empty flag stands for any container"),
  "repair.initContainerTerminationMessage": all,
  "repair.initContainerExitCode": all,
  "repair.labelSelectors": all,
  "repair.fieldSelectors": all,
  "log.outputLevel": differs(
    "an unknown level is an error and an unknown scope a warning; a bare level reaches cni-agent, which upstream's does not",
    { fallback: "default:info,grpc:none" },
  ),
  "log.level": differs("it is the level of every scope of which --log_output_level says nothing (P22)", {
    reader: "dead",
    fallback: "warn",
  }),
  "log.asJson": all,
  "log.targets": differs("a relative path is refused"),
  "monitoring.port": differs("a port that is taken is tried again; of negative numbers only -1 is accepted"),
  "monitoring.statusPage": ours,
  "accepted.kubernetesServiceProtocol": differs("no token is sent without TLS"),
  "accepted.logCaller": all,
  "accepted.logStacktraceLevel": all,
  "accepted.ctrlzPort": differs("see install-cni log-level, status and config --running"),
  "accepted.ctrlzAddress": differs("as --ctrlz_port"),
  "accepted.dryRunFilePath": all,
  "accepted.revision": differs("upstream reads it and does nothing with it"),
  "accepted.repairRunAsDaemon": nobody,
  "accepted.currentAgentVersion": nobody,
  "accepted.goMemLimit": { reader: "runtime" },
  "accepted.goMaxProcs": { reader: "runtime" },
  "accepted.metricsLocalhostAccessOnly": nobody,
  "accepted.compliancePolicy": nobody,
};
