// Joins what tells people and programs of the node: the gauges of its pods, and the admin socket behind `install-cni status`
// and `explain`. Part of wire.ts, which joins the rest.
import type { Informers } from "../agent/informers/informers.ts";
import { type AdminHandler, answerJson, createAdminRouter, refuse } from "../agent/status/admin-router.ts";
import { createLogLevels, type LogLevels } from "../agent/status/log-levels.ts";
import { createNodeStatus, type NodeStatus, type NodeStatusDeps } from "../agent/status/node-status.ts";
import type { Readiness } from "../agent/status/readiness.ts";
import type { WatchAges } from "../agent/status/watch-age.ts";
import type { AgentConfig } from "../core/config/agent-config.ts";
import type { EffectiveOption } from "../core/config/resolve-config.ts";
import type { Logger } from "../core/log.ts";
import { parseLogChange } from "../core/log-change.ts";
import type { LogLevelTable } from "../core/log-levels.ts";
import { registerPodMetrics, registerWatchMetrics } from "../core/metrics/agent-metrics.ts";
import type { MetricsRegistry } from "../core/metrics/registry.ts";
import { CONFIG_SCHEMA_VERSION, describeOptions, type OptionStatus } from "../core/status/config-document.ts";
import type { SystemClock } from "../platform/clock.ts";
import { createHttpConnections } from "../platform/http/http-connections.ts";
import type { Poller } from "../platform/linux/poller.ts";
import { buildInfo } from "./build-info.ts";
import { adminSocketPath } from "./paths.ts";
import { podRoutes } from "./pod-routes.ts";
import { serveUnixHttp } from "./serve-unix-http.ts";
import type { WiredPods } from "./wire-pods.ts";

const BACKLOG = 16;

export interface StatusInput {
  readonly config: AgentConfig;
  readonly options: readonly EffectiveOption[];
  readonly log: Logger;
  readonly levels: LogLevelTable;
  readonly audit: Logger;
  readonly clock: SystemClock;
  readonly registry: MetricsRegistry;
  readonly readiness: Readiness;
  readonly informers: Informers;
  readonly watches: WatchAges;
  readonly install: NodeStatusDeps["install"];
  readonly pods: Pick<WiredPods, "knowledge" | "looks">;
  readonly poller: Poller;
  readonly nodeName: string;
}

export interface WiredStatus {
  /** What people are told of the node now. */
  readonly document: NodeStatus["document"];
  /** What has to run until the agent ends. */
  run(ending: AbortSignal): Promise<void>;
}

/** Registers the gauges at once. */
export function wireStatus(input: StatusInput): WiredStatus {
  const { config, log, clock, informers, watches, pods } = input;
  const options = describeOptions(input.options);
  const logLevels = createLogLevels({ table: input.levels, clock, audit: input.audit }, config.log.levels);
  const status = createNodeStatus(
    {
      pods: informers.pods,
      ...pods.knowledge,
      conditions: input.readiness.conditions,
      install: input.install,
      watches: informers.health,
      watchAgeSeconds: watches.ageSeconds,
      wallMs: Date.now,
      nowMs: clock.nowMs,
    },
    {
      version: buildInfo.version,
      node: input.nodeName,
      mode: config.ambient.enabled ? "ambient" : "sidecar",
      settings: { excludedNamespaces: config.policy.excludeNamespaces },
      strictFamilies: config.policy.strictFamilies,
      options,
    },
  );
  registerPodMetrics(input.registry, status.counts);
  registerWatchMetrics(input.registry, watches.all);

  const ofPods = podRoutes(status, pods.looks, { node: input.nodeName, wallMs: Date.now, nowMs: clock.nowMs });
  const connections = createHttpConnections({
    answer: createAdminRouter({ ...routesOf(status, logLevels, options), ...ofPods }),
    onError: (error) => log.error(`Cannot answer on the admin socket: ${String(error)}`),
  });
  const path = adminSocketPath(config.install.runDir);
  const answer = (ending: AbortSignal): Promise<void> =>
    serveUnixHttp({ poller: input.poller, log, name: "admin socket", path, backlog: BACKLOG, connections }, ending);
  return {
    document: status.document,
    run: async (ending) => void (await Promise.all([answer(ending), logLevels.run(ending)])),
  };
}

function routesOf(
  status: NodeStatus,
  logLevels: LogLevels,
  options: readonly OptionStatus[],
): Readonly<Record<string, AdminHandler>> {
  return {
    "GET /status": () => answerJson(status.document()),
    "GET /config": () => answerJson({ schemaVersion: CONFIG_SCHEMA_VERSION, options }),
    "GET /log-levels": () => answerJson(logLevels.document()),
    "PUT /log-levels": ({ query }) => {
      const change = parseLogChange(query);
      if (typeof change === "string") return refuse(400, change);
      logLevels.change(change);
      return answerJson(logLevels.document());
    },
  };
}
