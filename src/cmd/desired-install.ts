// What the host is to look like by the configuration: for the installer, which brings it about, and for doctor, which compares.
import type { DesiredInstall } from "../core/cni/decide-install.ts";
import { createPluginEntry, type PluginEntry } from "../core/cni/plugin-entry.ts";
import type { AgentConfig } from "../core/config/agent-config.ts";
import { createLogLevelTable } from "../core/log-levels.ts";

/** @param operatorKeys those of CNI_NETWORK_CONFIG; ours are laid over them */
export function desiredInstall(config: AgentConfig, operatorKeys: PluginEntry): Omit<DesiredInstall, "settleMs"> {
  return {
    entry: {
      ...operatorKeys,
      ...createPluginEntry({
        ambientEnabled: config.ambient.enabled,
        agentRunDir: config.install.runDir,
        ambientDetectionRetry: config.ambient.detectionRetry,
        enablementSelectors: config.ambient.selectors.json,
        excludeNamespaces: config.policy.excludeNamespaces,
        nativeNftables: config.policy.nativeNftables,
        pluginLogLevel: createLogLevelTable(config.log.levels).levelOf("cni-plugin"),
        podNamespace: config.api.podNamespace ?? "",
        agentWaitMs: config.install.pluginAgentWaitMs,
      }),
    },
    mode: installMode(config),
    confName: config.install.cniConfName,
    ownedName: config.install.ownedConfigName,
  };
}

/** ISTIO_OWNED_CNI_CONFIG means something in ambient mode only, as upstream (contract 3.3, ADR 14). */
function installMode({ install, ambient }: AgentConfig): "chained" | "owned" | "standalone" {
  if (!install.chained) return "standalone";
  return install.ownsConfig && ambient.enabled ? "owned" : "chained";
}
