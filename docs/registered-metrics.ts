// Every metric that the code registers, as data: what documents, alerts and dashboards are compared with.
import {
  createAgentMetrics,
  registerLogMetrics,
  registerPodMetrics,
  registerProcessMetrics,
  registerWatchMetrics,
} from "../src/core/metrics/agent-metrics.ts";
import type { MetricsRegistry } from "../src/core/metrics/registry.ts";
import { countPods } from "../src/core/status/count-pods.ts";

export interface RegisteredMetric {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly labels: readonly string[];
}

/** In the order of their registration. */
export function registeredMetrics(): readonly RegisteredMetric[] {
  const found: RegisteredMetric[] = [];
  const nothing = () => undefined;
  const registry: MetricsRegistry = {
    counter({ name, labels }) {
      found.push({ name, type: "counter", labels });
      return { increment: nothing };
    },
    gauge({ name, labels }) {
      found.push({ name, type: "gauge", labels });
      return { set: nothing, remove: nothing };
    },
    histogram({ name, labels }) {
      found.push({ name, type: "histogram", labels });
      return { observe: nothing };
    },
    callback: ({ name, type }) => void found.push({ name, type, labels: [] }),
    collect: ({ name, type, labels }) => void found.push({ name, type, labels }),
    render: () => "",
  };
  createAgentMetrics(registry);
  registerPodMetrics(registry, () => countPods([]));
  registerWatchMetrics(registry, () => []);
  registerProcessMetrics(registry, () => ({ cpuSeconds: 0, residentBytes: 0, startTimeSeconds: 0 }));
  registerLogMetrics(registry, () => 0);
  return found;
}
