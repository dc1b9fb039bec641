/**
 * Every metric the agent has. The first ones carry upstream's names, labels and values (contract 8.1), for the dashboards
 * that exist; ours stand beside them and begin with `istio_cni_agent_`.
 */

import type { PodCounts } from "../status/count-pods.ts";
import type { MetricsRegistry } from "./registry.ts";

export type AgentMetrics = ReturnType<typeof createAgentMetrics>;

/** From a netlink batch (0.1 ms) to the deadline of an ADD. */
const DURATION_BUCKETS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60];

/** Registers all of them; once per registry. */
export function createAgentMetrics(registry: MetricsRegistry) {
  return {
    /** 1 while plugin and configuration are in place, 0 while they are being put there (upstream). */
    installReady: registry.gauge({
      name: "istio_cni_install_ready",
      help: "Whether the CNI plugin and its configuration are installed on the node.",
      labels: [],
    }),
    /** `result`: SUCCESS, COPY_BINARIES_FAILURE, CREATE_KUBECONFIG_FAILURE, CREATE_CNI_CONFIG_FAILURE (upstream). */
    installs: registry.counter({
      name: "istio_cni_installs_total",
      help: "Passes of the installer by their result.",
      labels: ["result"],
    }),
    /** `type`: repair, delete, label; `result`: success, fail, skip (upstream). */
    podsRepaired: registry.counter({
      name: "istio_cni_repair_pods_repaired_total",
      help: "Pods repaired, deleted or labelled because they started without redirection.",
      labels: ["type", "result"],
    }),
    /** `type`: add, update, delete (upstream). */
    reconcileEvents: registry.counter({
      name: "nodeagent_reconcile_events_total",
      help: "Pod and namespace events handled for ambient mode.",
      labels: ["type"],
    }),
    /** Number of ZDS connections (upstream). */
    ztunnelConnected: registry.gauge({
      name: "ztunnel_connected",
      help: "Connections from ztunnel.",
      labels: [],
    }),
    /** `response_code`: 200, 400, 500 (upstream, 1.31 and later): every ADD in ambient mode, by our plugin or upstream's. */
    pluginRequests: registry.counter({
      name: "istio_cni_plugin_requests_total",
      help: "Requests of CNI plugins to add a pod in ambient mode, by the code they were answered with.",
      labels: ["response_code"],
    }),
    /** `command`: ADD, DEL, …; `result`: ok or an error's code. */
    pluginCommands: registry.counter({
      name: "istio_cni_agent_plugin_commands_total",
      help: "CNI commands the agent has answered.",
      labels: ["command", "result"],
    }),
    pluginCommandSeconds: registry.histogram(
      {
        name: "istio_cni_agent_plugin_command_duration_seconds",
        help: "Time from a plugin's request to the agent's answer.",
        labels: ["command"],
      },
      DURATION_BUCKETS_S,
    ),
    /** From a plugin's request to what is decided on its pod. */
    decideSeconds: registry.histogram(
      {
        name: "istio_cni_agent_decide_duration_seconds",
        help: "Time to find a starting pod and to decide on it.",
        labels: ["mode"],
      },
      DURATION_BUCKETS_S,
    ),
    /** Time from reading the decision to the kernel's acknowledgement. */
    programSeconds: registry.histogram(
      {
        name: "istio_cni_agent_program_duration_seconds",
        help: "Time to program the redirection of one pod.",
        labels: ["mode", "backend"],
      },
      DURATION_BUCKETS_S,
    ),
    /** From the request to ztunnel to its acknowledgement, at ADD. */
    ztunnelSeconds: registry.histogram(
      {
        name: "istio_cni_agent_ztunnel_duration_seconds",
        help: "Time for ztunnel to take a starting pod.",
        labels: [],
      },
      DURATION_BUCKETS_S,
    ),
    /** `step`: what was done to bring a pod in or out; `result`: done, failed. */
    enrolmentSteps: registry.counter({
      name: "istio_cni_agent_enrolment_steps_total",
      help: "Steps that brought running pods into ambient mode or out of it.",
      labels: ["step", "result"],
    }),
    /** `mode`: sidecar, ambient; `decision`: in, out, refused; `reason`: the decision's reason, a closed set. */
    decisions: registry.counter({
      name: "istio_cni_agent_decisions_total",
      help: "Decisions on pods by their reason.",
      labels: ["mode", "decision", "reason"],
    }),
    /** `code`: HTTP status, or "error" when there was no answer. */
    apiRequests: registry.counter({
      name: "istio_cni_agent_api_requests_total",
      help: "Requests to the Kubernetes API.",
      labels: ["verb", "resource", "code"],
    }),
    watchRestarts: registry.counter({
      name: "istio_cni_agent_watch_restarts_total",
      help: "Watches that ended and were begun again.",
      labels: ["resource", "reason"],
    }),
    /** `object`: what differed (rules, plugin, config, …); `action`: repaired, failed. */
    drift: registry.counter({
      name: "istio_cni_agent_drift_total",
      help: "Differences found between what should be there and what was.",
      labels: ["object", "action"],
    }),
    /** 1 while another writer is known to keep taking our entry out of the conflist, or the file was left to it. */
    conflistFight: registry.gauge({
      name: "istio_cni_agent_conflist_fight",
      help: "Whether another writer keeps taking the plugin out of the CNI configuration.",
      labels: [],
    }),
    /** What the API told of objects; `type`: add, update, delete. */
    watchEvents: registry.counter({
      name: "istio_cni_agent_watch_events_total",
      help: "Objects that the Kubernetes API has shown as new, changed or gone.",
      labels: ["resource", "type"],
    }),
    /** `action`: list, read, write, remove. */
    podRecordFailures: registry.counter({
      name: "istio_cni_agent_pod_record_failures_total",
      help: "Files with what was decided on pods that could not be listed, read, written or removed.",
      labels: ["action"],
    }),
    /** `reason`: full, forbidden, refused, expired, ended. */
    eventsDropped: registry.counter({
      name: "istio_cni_agent_events_dropped_total",
      help: "Kubernetes Events, or repetitions of one, that nobody will see.",
      labels: ["reason"],
    }),
    /** The node's one decision how rules are written; the value is always 1. */
    backend: registry.gauge({
      name: "istio_cni_agent_backend",
      help: "How this node writes rules, and why.",
      labels: ["dialect", "reason"],
    }),
    /** 1 per feature that a pod may ask for and this kernel does not have. */
    kernelFeatureMissing: registry.gauge({
      name: "istio_cni_agent_kernel_feature_missing",
      help: "Features of netfilter that are missing on this node.",
      labels: ["feature", "family"],
    }),
    /** Enrolled pods that were tried, by what was found last; `family`: ipv4, ipv6; `result`: core/policy/probe-self-test.ts. */
    probeSelfTest: registry.gauge({
      name: "istio_cni_agent_probe_self_test",
      help: "Enrolled pods by whether probes of the node were seen to reach them.",
      labels: ["family", "result"],
    }),
    /** 1 or 0 per condition of /readyz. */
    condition: registry.gauge({
      name: "istio_cni_agent_condition",
      help: "Conditions of readiness.",
      labels: ["name"],
    }),
    buildInfo: registry.gauge({
      name: "istio_cni_agent_build_info",
      help: "Version of the agent; the value is always 1.",
      labels: ["version", "revision"],
    }),
  };
}

/** Gauges of the node's pods, counted when they are asked for. */
export function registerPodMetrics(registry: MetricsRegistry, read: () => PodCounts): void {
  registry.collect(
    {
      name: "istio_cni_agent_pods",
      help: "Pods of this node by what is true of them; every pod is in exactly one state.",
      type: "gauge",
      labels: ["state"],
    },
    () => Object.entries(read().groups).map(([state, count]) => [{ state }, count] as const),
  );
  registry.collect(
    {
      name: "istio_cni_agent_bypass_pods",
      help: "Pods with an address family that is not captured.",
      type: "gauge",
      labels: ["family"],
    },
    () => Object.entries(read().bypassed).map(([family, count]) => [{ family }, count] as const),
  );
}

/** How old the knowledge of the cluster may be; `read` gives seconds by resource. */
export function registerWatchMetrics(
  registry: MetricsRegistry,
  read: () => readonly (readonly [resource: string, seconds: number])[],
): void {
  registry.collect(
    {
      name: "istio_cni_agent_watch_age_seconds",
      help: "Time since the Kubernetes API last sent anything about a resource, bookmarks included.",
      type: "gauge",
      labels: ["resource"],
    },
    () => read().map(([resource, seconds]) => [{ resource }, seconds] as const),
  );
}

/** What a process knows about itself; undefined where it cannot tell. */
export interface ProcessStats {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly virtualBytes?: number;
  readonly openFds?: number;
  readonly maxFds?: number;
  readonly startTimeSeconds: number;
}

/** The `process_*` metrics of the Prometheus clients; `read` is called once per metric and scrape. */
export function registerProcessMetrics(registry: MetricsRegistry, read: () => ProcessStats): void {
  const add = (
    name: string,
    help: string,
    type: "counter" | "gauge",
    pick: (stats: ProcessStats) => number | undefined,
  ) => registry.callback({ name, help, type }, () => pick(read()));
  add("process_cpu_seconds_total", "CPU time spent, user and system.", "counter", (stats) => stats.cpuSeconds);
  add("process_resident_memory_bytes", "Resident memory size.", "gauge", (stats) => stats.residentBytes);
  add("process_virtual_memory_bytes", "Virtual memory size.", "gauge", (stats) => stats.virtualBytes);
  add("process_open_fds", "Open file descriptors.", "gauge", (stats) => stats.openFds);
  add("process_max_fds", "Limit of open file descriptors.", "gauge", (stats) => stats.maxFds);
  add("process_start_time_seconds", "Start time since 1970.", "gauge", (stats) => stats.startTimeSeconds);
}

/** Lines the log has lost; `read` gives the total. */
export function registerLogMetrics(registry: MetricsRegistry, read: () => number): void {
  registry.callback(
    { name: "istio_cni_agent_log_lines_dropped_total", help: "Log lines that could not be written.", type: "counter" },
    read,
  );
}
