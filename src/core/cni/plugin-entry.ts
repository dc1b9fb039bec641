/**
 * Our object in a conflist: upstream's keys, so that upstream's plugin can be put back at any time, and our own.
 * Where it goes in a file is edit-conflist.ts.
 */
import { isRecord } from "../json-value.ts";
import { POD_ANNOTATIONS_CAPABILITY } from "./netconf.ts";

/** The `type` of our object, which is also the name of the executable. */
export const PLUGIN_TYPE = "istio-cni";

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

export type PluginEntry = { readonly [key: string]: JsonValue };

export type PluginEntryOptions = {
  readonly ambientEnabled: boolean;
  /** Folder of the agent's socket and state file: the same path on the host and in the container. */
  readonly agentRunDir: string;
  readonly ambientDetectionRetry: boolean;
  /** Upstream's list of `{podSelector, namespaceSelector}`; read by upstream's plugin only. */
  readonly enablementSelectors: readonly JsonValue[];
  /** Pods of these namespaces pass without asking the agent: the plugin's copy for the first boot (DESIGN 3.3). */
  readonly excludeNamespaces: readonly string[];
  readonly nativeNftables: boolean;
  /** debug, info, warn, error, fatal or none. */
  readonly pluginLogLevel: string;
  /** Namespace of the agent's own pod, which always passes. */
  readonly podNamespace: string;
  /** How long the plugin waits for the agent before it refuses a pod. */
  readonly agentWaitMs: number;
};

/** The object with its keys in order. `exclude_namespaces` is null when empty, as upstream 1.30 writes it (contract 3.3). */
export function createPluginEntry(options: PluginEntryOptions): PluginEntry {
  return {
    agent_wait_ms: options.agentWaitMs,
    ambient_enabled: options.ambientEnabled,
    capabilities: { [POD_ANNOTATIONS_CAPABILITY]: true },
    cni_agent_run_dir: options.agentRunDir,
    dns: {},
    enable_ambient_detection_retry: options.ambientDetectionRetry,
    enablement_selectors: options.enablementSelectors,
    exclude_namespaces: options.excludeNamespaces.length === 0 ? null : options.excludeNamespaces,
    ipam: {},
    name: PLUGIN_TYPE,
    native_nftables: options.nativeNftables,
    plugin_log_level: options.pluginLogLevel,
    pod_namespace: options.podNamespace,
    type: PLUGIN_TYPE,
  };
}

/** A whole `.conf` file with our object alone, for Multus (contract 3.3 "unchained"). */
export function renderStandaloneConf(entry: PluginEntry): Uint8Array {
  const text = JSON.stringify({ cniVersion: "0.3.1", ...entry }, undefined, 2);
  return new TextEncoder().encode(`${text}\n`);
}

/** True when `text` is our object with exactly the values of `entry`, in whatever order and layout. */
export function isEntryText(text: string, entry: PluginEntry): boolean {
  return canonical(JSON.parse(text)) === canonical(entry);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    isRecord(part) ? Object.fromEntries(Object.entries(part).sort(([left], [right]) => (left < right ? -1 : 1))) : part,
  );
}
