// Our object in a conflist, for tests: the options of an agent in sidecar mode.
import type { PluginEntryOptions } from "./plugin-entry.ts";

export const SAMPLE_ENTRY_OPTIONS: PluginEntryOptions = {
  ambientEnabled: false,
  agentRunDir: "/var/run/istio-cni",
  ambientDetectionRetry: false,
  enablementSelectors: [],
  excludeNamespaces: ["kube-system"],
  nativeNftables: false,
  pluginLogLevel: "info",
  podNamespace: "istio-system",
  agentWaitMs: 10_000,
};
