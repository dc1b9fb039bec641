// What the operator set for all ambient pods of the node, as the policy reads it.
import type { AgentConfig } from "../core/config/agent-config.ts";
import type { AmbientSettings } from "../core/policy/ambient-decision.ts";

export function ambientSettings({ policy, api, ambient }: AgentConfig): AmbientSettings {
  return {
    selectors: ambient.selectors,
    excludedNamespaces: policy.excludeNamespaces,
    agentNamespace: api.podNamespace ?? "",
    systemNamespace: ambient.systemNamespace,
    dnsCapture: ambient.dnsCapture,
    probeSource: ambient.probeSource,
  };
}
