/**
 * The configuration as the agent's services see it, and what follows from several options together: candidate
 * directories, the node's name, log levels, contradictions. Where single values come from is resolve-config.ts.
 */

import type { Cidr, IpAddress } from "../address.ts";
import type { FightPolicy } from "../cni/conflist-life.ts";
import {
  mergeScopeLevels,
  renderScopeLevels,
  SCOPES_KNOWN,
  type ScopeLevels,
  speaksForAll,
  unknownScopes,
} from "../log-levels.ts";
import type { WhenAway } from "../plugin-protocol/state-file.ts";
import type { EnablementSelectors } from "../policy/enablement-selectors.ts";
import { type ConfigProblem, quoteValue } from "./config-error.ts";
import type { ValueSource } from "./option.ts";
import type { OptionValues } from "./options.ts";

/** Of /readyz and /healthz: upstream's, and no option. */
export const HEALTH_PORT = 8000;

/** Paths of which the first existing directory is meant, in that order; never empty. */
export type DirectoryCandidates = readonly string[];

export interface AgentConfig {
  readonly install: {
    /** File to chain into or to create; undefined: found out on the node (contract 3.2). */
    readonly cniConfName: string | undefined;
    readonly chained: boolean;
    /** Takes effect only when chained and ambient (contract 3.3). */
    readonly ownsConfig: boolean;
    readonly ownedConfigName: string;
    readonly netDir: DirectoryCandidates;
    /** One entry per directory that gets the plugin; at least one. */
    readonly binDirs: readonly DirectoryCandidates[];
    readonly runDir: string;
    /** Mode of the configuration files that we create: 0600 or 0640. */
    readonly configMode: number;
    /** JSON object whose keys are laid under the generated plugin object. */
    readonly networkConfig: string | undefined;
    readonly networkConfigFile: string | undefined;
    /** Name of the kubeconfig that older versions left in the CNI configuration directory. */
    readonly legacyKubeconfigName: string;
    /** What the kubeconfig in the run directory is to be like; undefined: none is written. */
    readonly hostKubeconfig:
      | { readonly mode: number; readonly caFile: string | undefined; readonly isInsecure: boolean }
      | undefined;
    /** What to do against another writer that keeps taking our entry out of its file. */
    readonly fight: FightPolicy;
    readonly pluginAgentWaitMs: number;
  };
  readonly api: {
    /** undefined: not running in a cluster, or a stripped environment. */
    readonly serviceHost: string | undefined;
    readonly servicePort: number;
    readonly kubeconfigPath: string | undefined;
    /** undefined: nobody told; the host's name is a guess that the caller may make. */
    readonly nodeName: string | undefined;
    readonly podName: string | undefined;
    readonly podNamespace: string | undefined;
  };
  readonly policy: {
    readonly excludeNamespaces: readonly string[];
    readonly strictFamilies: boolean;
    readonly nativeNftables: boolean;
    /** undefined: chosen by what the kernel can do. */
    readonly forceIptables: "legacy" | "nft" | undefined;
  };
  readonly sidecar: {
    /** "*" or the only groups that are captured; ids or names. */
    readonly outboundOwnerGroups: "*" | readonly string[];
    readonly outboundOwnerGroupsExclude: readonly string[];
    readonly outboundIpv4LoopbackCidr: Cidr;
  };
  readonly ambient: {
    readonly enabled: boolean;
    readonly selectors: EnablementSelectors;
    /** What a pod gets that the plugin cannot ask about (ADR 8). */
    readonly whenAway: WhenAway;
    readonly ztunnelSocketPath: string;
    /** For upstream's plugin only. */
    readonly detectionRetry: boolean;
    readonly dnsCapture: boolean;
    /** False: IPv4 only, see core/policy/ambient-families.ts. */
    readonly ipv6: boolean;
    readonly disableSafeUpgrade: boolean;
    readonly systemNamespace: string;
    /** Sources that probes of the host get. */
    readonly probeSource: { readonly v4: IpAddress; readonly v6: IpAddress };
    readonly enableAwsBranchEniProbe: boolean;
  };
  readonly verify: {
    readonly intervalMs: number;
    readonly wholeLookMs: number;
  };
  readonly repair: {
    readonly enabled: boolean;
    readonly repairPods: boolean;
    readonly deletePods: boolean;
    readonly labelPods: boolean;
    readonly labelKey: string;
    readonly labelValue: string;
    readonly nodeName: string | undefined;
    /** "": every pod is looked at. */
    readonly sidecarAnnotation: string;
    /** "": any init container. */
    readonly initContainerName: string;
    /** "": any message. */
    readonly terminationMessage: string;
    /** 0: any exit code. */
    readonly exitCode: number;
    readonly labelSelectors: string;
    readonly fieldSelectors: string;
  };
  readonly log: {
    readonly levels: ScopeLevels;
    readonly asJson: boolean;
    /** "stdout", "stderr" or absolute paths; at least one. */
    readonly targets: readonly string[];
  };
  readonly monitoring: {
    /** 0 or less: no listener. */
    readonly port: number;
    /** The status page is shown on that port too. */
    readonly statusPage: boolean;
  };
}

export interface AssembledConfig {
  readonly config: AgentConfig;
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly string[];
  readonly notes: readonly string[];
}

/** Where the host's file system is mounted (upstream cni/pkg/constants/constants.go:99@1.30.3). */
const HOST_ROOT = "/host";
const DEFAULT_NET_DIR = "/etc/cni/net.d";
/** On the host; the image's own directory of the same path is the copy's source and never a target. */
const DEFAULT_BIN_DIR = "/opt/cni/bin";
const KUBECONFIG_OPTIONS = [
  ["install.kubeconfigMode", "KUBECONFIG_MODE"],
  ["install.kubeCaFile", "KUBE_CA_FILE"],
  ["install.skipTlsVerify", "SKIP_TLS_VERIFY"],
] as const;
const OWNED_CONFIG_NAME = "02-istio-cni.conflist";

/** Total: problems are returned, not thrown. */
export function assembleConfig(values: OptionValues, sources: Readonly<Record<string, ValueSource>>): AssembledConfig {
  const { install, api, policy, sidecar, ambient, repair, log } = values;
  const nodeName = api.nodeName || repair.nodeName || api.kubernetesNodeName || undefined;
  const config: AgentConfig = {
    install: {
      cniConfName: install.cniConfName || undefined,
      chained: install.chainedCniPlugin,
      ownsConfig: install.istioOwnedCniConfig,
      ownedConfigName: ownedNameOf(values),
      netDir: netDirCandidates(install.mountedCniNetDir, install.cniNetDir),
      binDirs: binDirCandidates(install.cniBinDir),
      runDir: install.cniAgentRunDir,
      configMode: install.cniConfGroupRead ? 0o640 : 0o600,
      networkConfig: install.cniNetworkConfig,
      networkConfigFile: install.cniNetworkConfigFile || undefined,
      legacyKubeconfigName: install.kubecfgFileName,
      hostKubeconfig: install.hostKubeconfig
        ? {
            mode: install.kubeconfigMode,
            caFile: install.kubeCaFile || undefined,
            isInsecure: install.skipTlsVerify,
          }
        : undefined,
      fight: install.conflistFight,
      pluginAgentWaitMs: install.pluginAgentWait,
    },
    api: {
      serviceHost: api.serviceHost || undefined,
      servicePort: api.servicePort,
      kubeconfigPath: api.kubeconfig || undefined,
      nodeName,
      podName: api.podName || undefined,
      podNamespace: api.podNamespace || undefined,
    },
    policy: {
      excludeNamespaces: policy.excludeNamespaces,
      strictFamilies: policy.strictFamilies,
      nativeNftables: policy.nativeNftables,
      forceIptables: policy.forceIptablesBinary || undefined,
    },
    sidecar: {
      outboundOwnerGroups: sidecar.outboundOwnerGroups,
      outboundOwnerGroupsExclude: sidecar.outboundOwnerGroupsExclude,
      outboundIpv4LoopbackCidr: sidecar.outboundIpv4LoopbackCidr,
    },
    ambient: {
      enabled: ambient.enabled,
      selectors: ambient.enablementSelectors,
      whenAway: ambient.whenAway,
      ztunnelSocketPath: ambient.ztunnelUdsAddress,
      detectionRetry: ambient.detectionRetry,
      dnsCapture: ambient.dnsCapture,
      ipv6: ambient.ipv6,
      disableSafeUpgrade: ambient.disableSafeUpgrade,
      systemNamespace: ambient.systemNamespace,
      probeSource: { v4: ambient.hostProbeSnatIp, v6: ambient.hostProbeSnatIpv6 },
      enableAwsBranchEniProbe: ambient.enableAwsBranchEniProbe,
    },
    verify: { intervalMs: values.verify.interval, wholeLookMs: values.verify.wholeInterval },
    repair: {
      enabled: repair.enabled,
      repairPods: repair.repairPods,
      deletePods: repair.deletePods,
      labelPods: repair.labelPods,
      labelKey: repair.brokenPodLabelKey,
      labelValue: repair.brokenPodLabelValue,
      // Upstream's empty name watches unscheduled pods (contract 1.2), which nobody can mean.
      nodeName: repair.nodeName || nodeName,
      sidecarAnnotation: repair.sidecarAnnotation,
      initContainerName: repair.initContainerName,
      terminationMessage: repair.initContainerTerminationMessage.trim(),
      exitCode: repair.initContainerExitCode,
      labelSelectors: repair.labelSelectors,
      fieldSelectors: repair.fieldSelectors,
    },
    log: {
      levels: mergeScopeLevels(log.level, log.outputLevel),
      asJson: log.asJson,
      targets: log.targets,
    },
    monitoring: { port: values.monitoring.port, statusPage: values.monitoring.statusPage },
  };
  return { config, problems: findProblems(values), ...findRemarks(values, sources) };
}

/** MOUNTED_CNI_NET_DIR is taken literally; CNI_NET_DIR is a host path, so it is looked for below the host's mount first. */
function netDirCandidates(mounted: string, hostDir: string): DirectoryCandidates {
  if (mounted !== "") return [mounted];
  return hostDir === "" ? [`${HOST_ROOT}${DEFAULT_NET_DIR}`] : hostCandidates(hostDir, DEFAULT_NET_DIR);
}

function binDirCandidates(hostDirs: readonly string[]): readonly DirectoryCandidates[] {
  if (hostDirs.length === 0) return [[`${HOST_ROOT}${DEFAULT_BIN_DIR}`]];
  return hostDirs.map((dir) => {
    // Upstream's chart mounts the one directory it knows at /host/opt/cni/bin, whatever the host calls it.
    const candidates = hostCandidates(dir, hostDirs.length === 1 ? DEFAULT_BIN_DIR : dir);
    return candidates.filter((candidate) => candidate !== DEFAULT_BIN_DIR);
  });
}

function hostCandidates(dir: string, chartMount: string): DirectoryCandidates {
  if (dir === HOST_ROOT || dir.startsWith(`${HOST_ROOT}/`)) return [dir];
  return [...new Set([`${HOST_ROOT}${dir}`, dir, `${HOST_ROOT}${chartMount}`])];
}

function findProblems(values: OptionValues): readonly ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const { outboundOwnerGroups, outboundOwnerGroupsExclude } = values.sidecar;
  if (outboundOwnerGroups !== "*" && outboundOwnerGroupsExclude.length > 0) {
    problems.push({
      code: "contradiction",
      option: "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE",
      value: outboundOwnerGroupsExclude.join(","),
      message:
        "Cannot use ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: ISTIO_OUTBOUND_OWNER_GROUPS names groups already; accepted: one of the two",
    });
  }
  const { cniConfName, chainedCniPlugin, istioOwnedCniConfig } = values.install;
  if (!chainedCniPlugin && cniConfName !== "" && !/\.(?:conf|json)$/.test(cniConfName)) {
    problems.push({
      code: "contradiction",
      option: "CNI_CONF_NAME",
      value: cniConfName,
      message: `Cannot use CNI_CONF_NAME: it is ${quoteValue(cniConfName)}, and with CHAINED_CNI_PLUGIN=false a file with a single configuration is written, which nobody reads under that name; accepted: a name that ends in .conf`,
    });
  }
  const isOwned = chainedCniPlugin && istioOwnedCniConfig && values.ambient.enabled;
  if (isOwned && cniConfName === ownedNameOf(values)) {
    problems.push({
      code: "contradiction",
      option: "ISTIO_OWNED_CNI_CONFIG_FILENAME",
      value: cniConfName,
      message: `Cannot use ISTIO_OWNED_CNI_CONFIG_FILENAME: ${quoteValue(cniConfName)} is CNI_CONF_NAME already, the file that is to be copied; accepted: another name, which comes first`,
    });
  }
  return problems;
}

function ownedNameOf({ install }: OptionValues): string {
  return install.istioOwnedCniConfigFilename || install.istioOwnedCniConfFilename || OWNED_CONFIG_NAME;
}

function findRemarks(values: OptionValues, sources: Readonly<Record<string, ValueSource>>) {
  const { install, policy, log } = values;
  const warnings: string[] = [];
  const notes: string[] = [];
  if (install.mountedCniNetDir !== "" && install.cniNetDir !== "") {
    notes.push(`CNI_NET_DIR is overridden: the directory is MOUNTED_CNI_NET_DIR, ${install.mountedCniNetDir}`);
  }
  if (install.cniNetworkConfig !== undefined && install.cniNetworkConfigFile !== "") {
    notes.push("CNI_NETWORK_CONFIG_FILE is overridden by CNI_NETWORK_CONFIG");
  }
  const forKubeconfig = KUBECONFIG_OPTIONS.filter(([id]) => (sources[id] ?? "default") !== "default");
  if (!install.hostKubeconfig && forKubeconfig.length > 0) {
    const names = forKubeconfig.map(([, name]) => name).join(", ");
    notes.push(`Without HOST_KUBECONFIG no kubeconfig is written on the host, so these have no effect: ${names}`);
  }
  if (policy.nativeNftables && policy.forceIptablesBinary !== "") {
    warnings.push(`FORCE_IPTABLES_BINARY=${policy.forceIptablesBinary} has no effect together with NATIVE_NFTABLES`);
  }
  if (values.monitoring.statusPage && values.monitoring.port <= 0) {
    warnings.push(
      `STATUS_PAGE has no effect: its port is that of /metrics, and MONITORING_PORT is ${values.monitoring.port}`,
    );
  }
  if (sources["log.level"] !== "default" && speaksForAll(log.outputLevel)) {
    const flag = renderScopeLevels(log.outputLevel);
    notes.push(`LOG_LEVEL=${log.level} is overridden by --log_output_level=${flag}`);
  }
  const strangers = unknownScopes(log.outputLevel);
  if (strangers.length > 0) {
    warnings.push(
      `--log_output_level names scopes that do not exist here: ${strangers.join(", ")}; known: ${SCOPES_KNOWN}`,
    );
  }
  return { warnings, notes };
}
