// Joins the services with the real platform. It reads like the drawing in ARCHITECTURE.md: host files, API, plugin
// socket, pod namespaces, endpoints; what one service needs of another is given here and nowhere else.
import { hostname } from "node:os";
import { join } from "node:path";
import { createInformers } from "../agent/informers/informers.ts";
import { runTrimAtRest } from "../agent/memory/trim-at-rest.ts";
import { PLUGIN_SERVER_DEFAULTS, servePlugins } from "../agent/plugin-api/plugin-server.ts";
import { runEnrollmentFacts } from "../agent/plugin-state/enrollment-facts.ts";
import { createPluginState } from "../agent/plugin-state/plugin-state.ts";
import { healthRoutes, metricsRoutes, serveEndpoint } from "../agent/status/endpoints.ts";
import { createReadiness } from "../agent/status/readiness.ts";
import { createWatchAges } from "../agent/status/watch-age.ts";
import { type AgentConfig, HEALTH_PORT } from "../core/config/agent-config.ts";
import type { EffectiveOption } from "../core/config/resolve-config.ts";
import type { Logger } from "../core/log.ts";
import type { LogLevelTable } from "../core/log-levels.ts";
import { createAgentMetrics, registerLogMetrics, registerProcessMetrics } from "../core/metrics/agent-metrics.ts";
import { createMetricsRegistry } from "../core/metrics/registry.ts";
import { PLUGIN_SOCKET } from "../core/run-dir-names.ts";
import type { SystemClock } from "../platform/clock.ts";
import { createKubeClient } from "../platform/http/kube-client.ts";
import { listenHttp } from "../platform/http/server.ts";
import { createAcceptor } from "../platform/linux/acceptor.ts";
import { closeFd } from "../platform/linux/libc.ts";
import { createPoller } from "../platform/linux/poller.ts";
import { SOCK_STREAM } from "../platform/linux/socket-numbers.ts";
import { trimMemory } from "../platform/linux/trim-memory.ts";
import { listenUnix } from "../platform/linux/unix-socket.ts";
import { ownUid, trustedUids } from "../platform/process/own-user.ts";
import { readProcessStats } from "../platform/process/process-stats.ts";
import { ambientSettings } from "./ambient-settings.ts";
import { buildInfo } from "./build-info.ts";
import { ignoreAbort } from "./ignore-abort.ts";
import { credentialsOf } from "./kube-credentials.ts";
import { createTakenOff } from "./taken-off.ts";
import { tellSyncing } from "./tell-syncing.ts";
import { wireInstall } from "./wire-install.ts";
import { wirePods } from "./wire-pods.ts";
import { wireStatus } from "./wire-status.ts";
import { wireUpstreamPlugin } from "./wire-upstream-plugin.ts";

const CLOSE_DEADLINE_MS = 1000;
const RECHECK_HOST_MS = 10_000;
const GATHER_NAMESPACES_MS = 100;

export interface AgentInput {
  readonly config: AgentConfig;
  /** As `install-cni config` shows it. */
  readonly options: readonly EffectiveOption[];
  readonly log: Logger;
  /** That of `log`; changed over the admin socket. */
  readonly levels: LogLevelTable;
  /** A logger whose lines pass whatever the levels are. */
  readonly audit: Logger;
  readonly clock: SystemClock;
  readonly droppedLogLines: () => number;
}

/** Runs the agent until `signal` aborts. Rejects when it cannot start: no API server named, no plugin socket. */
export async function runAgent(
  { config, options, log, levels, audit, clock, droppedLogLines }: AgentInput,
  signal: AbortSignal,
): Promise<void> {
  // First, so that libuv's threads are born in our own namespaces (platform/linux/netns.ts).
  const poller = createPoller((error) => log.error(`Cannot serve a socket: ${String(error)}`));

  const registry = createMetricsRegistry();
  const metrics = createAgentMetrics(registry);
  registerProcessMetrics(registry, readProcessStats);
  registerLogMetrics(registry, droppedLogLines);
  metrics.buildInfo.set({ version: buildInfo.version, revision: buildInfo.revision }, 1);
  const readiness = createReadiness({
    onChange: ({ name, ready, reason }) => {
      metrics.condition.set({ name }, ready ? 1 : 0);
      if (ready) log.info(`Ready: ${name}`);
      else log.debug(`Not ready: ${name}: ${reason}`);
    },
  });
  const installed = readiness.addCondition("install", "the host has not been looked at yet");
  const synced = readiness.addCondition("pods", "the API server has not shown the pods of this node yet");
  const serving = readiness.addCondition("plugin-socket", "not listening yet");

  // The Kubernetes API.
  const api = createKubeClient(credentialsOf(config.api, clock.nowMs), {
    userAgent: `istio-install-cni/${buildInfo.version}`,
    onAnswer: (action, code) => {
      const [verb = "", resource = ""] = action.split(/[ /]/);
      metrics.apiRequests.increment({ verb, resource, code });
    },
  });
  const nodeName = nodeNameOf(config, log);
  const watches = createWatchAges(api, clock.nowMs);
  const informers = createInformers(
    {
      api: watches.api,
      clock,
      log,
      random: Math.random,
      metrics: {
        changed: (kind, type) => metrics.watchEvents.increment({ resource: kind, type }),
        reported: (kind, what, count) => metrics.watchRestarts.increment({ resource: kind, reason: what }, count),
      },
    },
    // Only ambient mode decides by namespaces.
    { nodeName, followsNamespaces: config.ambient.enabled },
  );
  const noZtunnel = "no ztunnel is connected: pods of the ambient mesh cannot start";
  const enrolling = config.ambient.enabled ? readiness.addCondition("ztunnel", noZtunnel) : undefined;
  const onZtunnel = (isConnected: boolean) => (isConnected ? enrolling?.ready() : enrolling?.notReady(noZtunnel));
  if (config.ambient.enabled) {
    const { dnsCapture, ipv6, ztunnelSocketPath } = config.ambient;
    // People grep for the first words, which are upstream's, or for "ambient" (contract 8.6, 11 P28).
    log.info("Starting ambient node agent: ambient mode is on", { ztunnel: ztunnelSocketPath, dnsCapture, ipv6 });
  }
  // What is for one mode only is a file of its own in the bundle (tools/bundle.ts).
  const ambientMode = config.ambient.enabled
    ? { wireAmbient: (await import("./wire-ambient.ts")).wireAmbient }
    : { wireAmbientOff: (await import("./wire-ambient-off.ts")).wireAmbientOff };
  const takenOff = createTakenOff();
  using pods = wirePods({
    ...{ config, log, clock, metrics, api, informers, poller, nodeName, ambientMode, takenOff, onZtunnel },
  });

  // The host: plugin and conflist.
  const ownPod = () => informers.pods.byName(config.api.podNamespace ?? "", config.api.podName ?? "");
  const { recordEvent } = pods;
  const install = await wireInstall({
    ...{ config, log, clock, metrics, installed, ownPod, recordEvent, api, nodeName, onTakenOff: takenOff.set },
  });
  const { files } = install;

  const people = wireStatus({
    ...{ config, options, log, levels, audit, clock, registry, readiness, informers, watches, pods, poller, nodeName },
    install: install.status,
  });
  const pageRoutes = config.monitoring.statusPage
    ? (await import("../agent/status/status-page.ts")).statusPageRoutes(
        { document: people.document, nowMs: clock.nowMs },
        { node: nodeName },
      )
    : {};

  const { sandboxes, tellRefusal } = pods;
  const answerUpstreamPlugin = wireUpstreamPlugin({ config, log, clock, metrics, poller, sandboxes, tellRefusal });

  // What the plugin may know while no agent answers.
  const pluginState = createPluginState(
    { files, clock, log },
    {
      runDir: config.install.runDir,
      mode: config.ambient.enabled ? "ambient" : "sidecar",
      whenAway: config.ambient.whenAway,
      excludedNamespaces: config.policy.excludeNamespaces,
      uid: ownUid(),
      recheckMs: RECHECK_HOST_MS,
    },
  );

  const tellEnrollment = (ending: AbortSignal): Promise<void> =>
    runEnrollmentFacts(
      { namespaces: informers.namespaces, pods: informers.pods, state: pluginState, clock },
      { settings: ambientSettings(config), gatherMs: GATHER_NAMESPACES_MS },
      ending,
    );

  /** Whatever ends early ends all: an agent without one of its parts must not look alive. */
  const failing = new AbortController();
  const ending = AbortSignal.any([signal, failing.signal]);
  const run = async (work: Promise<void>): Promise<void> => {
    try {
      await work;
    } catch (error) {
      failing.abort(error);
      throw error;
    }
  };
  const accept = createAcceptor({
    poller,
    log,
    listen: () => listenUnix(join(config.install.runDir, PLUGIN_SOCKET), SOCK_STREAM, { mode: 0o600, backlog: 1024 }),
    onState: (failure) => (failure === undefined ? serving.ready() : serving.notReady(failure)),
  });
  const endpoint = { listen: listenHttp, clock, log };
  const results = await Promise.allSettled([
    run(
      servePlugins(
        {
          ...{ poller, log, accept, closeDescriptor: (fd: number) => void closeFd(fd), handle: pods.handle },
        },
        { ...PLUGIN_SERVER_DEFAULTS, allowedUids: trustedUids() },
        ending,
      ),
    ),
    ...install.runs.map((work) => run(work(ending))),
    run(pluginState.run(ending)),
    ...(config.ambient.enabled ? [run(tellEnrollment(ending))] : []),
    run(people.run(ending)),
    ...answerUpstreamPlugin.map((work) => run(work(ending))),
    ...pods.runs.map((work) => run(work(ending))),
    run(informers.start(ending)),
    run(
      serveEndpoint(
        endpoint,
        { name: "health", port: HEALTH_PORT, routes: healthRoutes(readiness), closeDeadlineMs: CLOSE_DEADLINE_MS },
        ending,
      ),
    ),
    run(
      serveEndpoint(
        endpoint,
        {
          name: "metrics",
          port: config.monitoring.port,
          routes: { ...metricsRoutes(registry), ...pageRoutes },
          closeDeadlineMs: CLOSE_DEADLINE_MS,
        },
        ending,
      ),
    ),
    run(tellSyncing({ informers, synced, clock }, ending)),
    run(
      informers.pods
        .waitSynced(ending)
        .then(() => runTrimAtRest({ trim: trimMemory, cpuMs: usedCpuMs, clock }, {}, ending), ignoreAbort(ending)),
    ),
  ]);
  if (signal.aborted && (await install.leaveIfProven())) await pods.leaveAmbient();
  api.close();
  await poller.close();
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

function usedCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** The chart gives the name; without it the host's name is the best guess, and a wrong one shows at once in the log. */
function nodeNameOf(config: AgentConfig, log: Logger): string {
  if (config.api.nodeName !== undefined) return config.api.nodeName;
  const guess = hostname().toLowerCase();
  log.warn(
    `NODE_NAME is not set: taking this host's name ${guess} for the node's; the DaemonSet should set it from spec.nodeName`,
  );
  return guess;
}
