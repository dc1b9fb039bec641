// The entry that upstream's agent writes into a conflist (contract/ 3.3), with its chart's defaults but for what is told.

export interface UpstreamEntryOptions {
  readonly ambient?: boolean;
  /** As the chart's value of that name. */
  readonly nativeNftables?: boolean;
  /** Where its plugin finds the kubeconfig and the agent's sockets. */
  readonly runDir?: string;
  /** The executable's name, where it is not upstream's. */
  readonly type?: string;
}

export function renderUpstreamEntry({
  ambient = false,
  nativeNftables = false,
  runDir = "/var/run/istio-cni",
  type = "istio-cni",
}: UpstreamEntryOptions = {}): Readonly<Record<string, unknown>> {
  return {
    ambient_enabled: ambient,
    cni_agent_run_dir: runDir,
    dns: {},
    enable_ambient_detection_retry: false,
    enablement_selectors: [],
    exclude_namespaces: ["kube-system"],
    ipam: {},
    name: "istio-cni",
    native_nftables: nativeNftables,
    plugin_log_level: "info",
    pod_namespace: "istio-system",
    type,
  };
}
