// Joins what works on the host's folders: plugin, conflist, and what they are made of. Part of wire.ts, which joins the rest.

import type { EventRecorder } from "../agent/events/event-recorder.ts";
import type { InstallStatus } from "../agent/install/install-status.ts";
import { createInstaller } from "../agent/install/installer.ts";
import type { Condition } from "../agent/status/readiness.ts";
import { createPluginEntry } from "../core/cni/plugin-entry.ts";
import type { AgentConfig } from "../core/config/agent-config.ts";
import type { Pod } from "../core/kube/pod.ts";
import type { Logger } from "../core/log.ts";
import { createLogLevelTable } from "../core/log-levels.ts";
import type { AgentMetrics } from "../core/metrics/agent-metrics.ts";
import type { SystemClock } from "../platform/clock.ts";
import { plainDeps } from "../platform/fs/atomic-write.ts";
import { createDirectoryWatch } from "../platform/fs/directory-watch.ts";
import { createHostFiles, type HostFiles } from "../platform/fs/host-files.ts";
import { hostNamesOf } from "../platform/fs/mount-point.ts";
import { copyLabelsOrSay } from "./copy-labels.ts";
import { findMountProblems } from "./mount-problems.ts";
import { readNetworkConfig } from "./network-config.ts";
import { findPluginDir } from "./paths.ts";

const RECHECK_HOST_MS = 10_000;
const SETTLE_MS = 2000;

export interface InstallInput {
  readonly config: AgentConfig;
  readonly log: Logger;
  readonly clock: SystemClock;
  readonly metrics: AgentMetrics;
  readonly installed: Condition;
  /** The agent's own pod, once the watch has shown it. */
  ownPod(): Pod | undefined;
  readonly recordEvent: EventRecorder["record"];
}

export interface WiredInstall {
  /** The host's folders, for others who keep files there. */
  readonly files: HostFiles;
  status(): InstallStatus;
  /** What has to run until the agent ends. */
  readonly runs: readonly ((ending: AbortSignal) => Promise<void>)[];
}

/** @throws {ConfigError} for a CNI_NETWORK_CONFIG_FILE that cannot be used. */
export async function wireInstall(input: InstallInput): Promise<WiredInstall> {
  const { config, log, clock, metrics, installed } = input;
  const operatorKeys = await readNetworkConfig(config);
  const problems = await findMountProblems(config);
  for (const problem of problems) log.error(problem);
  const files = createHostFiles({ ...plainDeps, copyLabels: copyLabelsOrSay(log), hostNamesOf });
  const installer = createInstaller(
    {
      files,
      watchFolders: createDirectoryWatch,
      clock,
      random: Math.random,
      log,
      metrics: {
        installReady: (isReady) => {
          metrics.installReady.set({}, isReady ? 1 : 0);
          if (isReady) installed.ready();
          else installed.notReady([installer.ready().reason, ...problems].join("; "));
        },
        installFinished: (result) => metrics.installs.increment({ result }),
        conflistReasserted: () => metrics.drift.increment({ object: "conflist", action: "repaired" }),
        conflistFought: (isFighting) => metrics.conflistFight.set({}, isFighting ? 1 : 0),
      },
      onFight: (message) => {
        const pod = input.ownPod();
        if (pod !== undefined) input.recordEvent({ pod, type: "Warning", reason: "ConflistFight", message });
      },
    },
    {
      netDir: config.install.netDir,
      binDirs: config.install.binDirs,
      pluginSourceDir: findPluginDir(),
      desired: {
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
        settleMs: SETTLE_MS,
      },
      newConfMode: config.install.configMode,
      fight: config.install.fight,
      recheckMs: RECHECK_HOST_MS,
    },
  );
  return { files, status: installer.status, runs: [installer.run] };
}

/** ISTIO_OWNED_CNI_CONFIG means something in ambient mode only, as upstream (contract 3.3, ADR 11). */
function installMode({ install, ambient }: AgentConfig): "chained" | "owned" | "standalone" {
  if (!install.chained) return "standalone";
  return install.ownsConfig && ambient.enabled ? "owned" : "chained";
}
