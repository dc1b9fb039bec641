// Joins what works on the host's folders: plugin, conflist, and what they are made of. Part of wire.ts, which joins the rest.

import { basename, dirname } from "node:path";
import type { EventRecorder } from "../agent/events/event-recorder.ts";
import { runHostKubeconfigs } from "../agent/install/host-kubeconfigs.ts";
import type { InstallStatus } from "../agent/install/install-status.ts";
import { createInstaller } from "../agent/install/installer.ts";
import { createRemovalWatch } from "../agent/install/removal-watch.ts";
import { isMarkedUninstalled } from "../agent/install/run-dir.ts";
import type { Condition } from "../agent/status/readiness.ts";
import { renderHostKubeconfig } from "../core/cni/host-kubeconfig.ts";
import type { AgentConfig } from "../core/config/agent-config.ts";
import type { Pod } from "../core/kube/pod.ts";
import type { Logger } from "../core/log.ts";
import type { AgentMetrics } from "../core/metrics/agent-metrics.ts";
import type { SystemClock } from "../platform/clock.ts";
import { createDirectoryWatch } from "../platform/fs/directory-watch.ts";
import type { HostFiles } from "../platform/fs/host-files.ts";
import { SERVICE_ACCOUNT_DIR } from "../platform/http/credentials.ts";
import type { KubeApi } from "../platform/http/kube-api.ts";
import { desiredInstall } from "./desired-install.ts";
import { createHostAccess } from "./host-access.ts";
import { leaveHost } from "./leave-host.ts";
import { findMountProblems } from "./mount-problems.ts";
import { readNetworkConfig } from "./network-config.ts";
import { findPluginDir } from "./paths.ts";
import { findRightsProblems } from "./rights-problems.ts";

const RECHECK_HOST_MS = 10_000;
const SETTLE_MS = 2000;
/** Both fit into the shortest grace period a chart gives (5 s, Istio 1.28). */
const PROOF_TIMEOUT_MS = 2000;
const LEAVE_TIMEOUT_MS = 2500;
/** Runtimes read a changed folder within milliseconds; an ADD under way with the old chain may take some more. */
const DRAIN_MS = 1000;
const MAX_TOKEN_BYTES = 64 * 1024;
const MAX_CA_BYTES = 1024 * 1024;

export interface InstallInput {
  readonly config: AgentConfig;
  readonly log: Logger;
  readonly clock: SystemClock;
  readonly metrics: AgentMetrics;
  readonly installed: Condition;
  /** The agent's own pod, once the watch has shown it. */
  ownPod(): Pod | undefined;
  readonly recordEvent: EventRecorder["record"];
  readonly api: KubeApi;
  readonly nodeName: string;
  /** `install-cni uninstall` was run on this node, or is no longer in force. */
  onTakenOff(isTakenOff: boolean): void;
}

export interface WiredInstall {
  /** The host's folders, for others who keep files there. */
  readonly files: HostFiles;
  status(): InstallStatus;
  /** What has to run until the agent ends. */
  readonly runs: readonly ((ending: AbortSignal) => Promise<void>)[];
  /**
   * To be called at the end of the agent, after `runs`: removes everything from the host if that is wanted, and tells whether
   * it is proven that no agent comes after this one. Takes a few seconds at most, never rejects.
   */
  leaveIfProven(): Promise<boolean>;
}

/** @throws {ConfigError} for a CNI_NETWORK_CONFIG_FILE that cannot be used. */
export async function wireInstall(input: InstallInput): Promise<WiredInstall> {
  const { config, log, clock, metrics, installed } = input;
  const operatorKeys = await readNetworkConfig(config);
  const problems = [...(await findMountProblems(config)), ...findRightsProblems()];
  for (const problem of problems) log.error(problem);
  const files = createHostAccess(log);
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
      onTakenOff: input.onTakenOff,
      onFight: (message) => {
        const pod = input.ownPod();
        if (pod !== undefined) input.recordEvent({ pod, type: "Warning", reason: "ConflistFight", message });
      },
    },
    {
      netDir: config.install.netDir,
      binDirs: config.install.binDirs,
      pluginSourceDir: findPluginDir(),
      desired: { ...desiredInstall(config, operatorKeys), settleMs: SETTLE_MS },
      newConfMode: config.install.configMode,
      fight: config.install.fight,
      runDir: config.install.runDir,
      recheckMs: RECHECK_HOST_MS,
    },
  );
  const { hostKubeconfig } = config.install;
  const keepKubeconfigs = (ending: AbortSignal): Promise<void> =>
    runHostKubeconfigs(
      {
        files,
        clock,
        log,
        render: hostKubeconfig && (() => renderKubeconfig(files, config, hostKubeconfig)),
        isInstalled: () => installer.ready().ready,
        failed: () => metrics.installs.increment({ result: "CREATE_KUBECONFIG_FAILURE" }),
      },
      {
        runDir: config.install.runDir,
        mode: hostKubeconfig?.mode ?? 0o600,
        netDirs: config.install.netDir,
        legacyName: config.install.legacyKubeconfigName,
        recheckMs: RECHECK_HOST_MS,
      },
      ending,
    );

  const removal = createRemovalWatch(
    { api: input.api, clock, random: Math.random, log },
    { namespace: config.api.podNamespace, nodeName: input.nodeName },
  );
  /** `isLast`: no agent comes after this one. */
  const decideRemoval = async () => {
    if (await isMarkedUninstalled(files, config.install.runDir))
      return { isWanted: true, isLast: true, reason: "install-cni uninstall was run" };
    // A wish for each end, of which an upgrade is one: pods stay in over it.
    if (config.ambient.enabled && config.ambient.disableSafeUpgrade)
      return { isWanted: true, isLast: false, reason: "AMBIENT_DISABLE_SAFE_UPGRADE asks for it at every end" };
    const { isProven, reason } = await removal.decide(AbortSignal.timeout(PROOF_TIMEOUT_MS));
    return { isWanted: isProven, isLast: isProven, reason };
  };
  const leaveIfProven = async (): Promise<boolean> => {
    const { isWanted, isLast, reason } = await decideRemoval();
    if (!isWanted) {
      log.info(`Plugin and configuration stay in place: ${reason}`);
      return false;
    }
    log.warn(`Removing plugin and configuration from the node: ${reason}`);
    try {
      const options = { install: config.install, drainMs: DRAIN_MS, keepsRunDir: false };
      const { kept, failed } = await leaveHost({ files, clock, log }, options, AbortSignal.timeout(LEAVE_TIMEOUT_MS));
      for (const { path, reason: why } of [...kept, ...failed]) log.warn(`Left on the node: ${path}: ${why}`);
    } catch (error) {
      log.error(`Cannot remove everything from the node: ${String(error)}; install-cni uninstall does it`);
    }
    return isLast;
  };
  return { files, status: installer.status, runs: [installer.run, keepKubeconfigs, removal.run], leaveIfProven };
}

/** Token and authority as they are on disk now: the kubelet renews them. */
async function renderKubeconfig(
  files: HostFiles,
  { api }: AgentConfig,
  { caFile, isInsecure }: NonNullable<AgentConfig["install"]["hostKubeconfig"]>,
): Promise<string> {
  if (api.serviceHost === undefined) throw new Error("KUBERNETES_SERVICE_HOST is not set");
  const read = async (path: string, maxBytes: number): Promise<Uint8Array> =>
    (await files.read(dirname(path), basename(path), { maxBytes, follow: true })).bytes;
  const token = await read(`${SERVICE_ACCOUNT_DIR}/token`, MAX_TOKEN_BYTES);
  return renderHostKubeconfig({
    protocol: "https",
    host: api.serviceHost,
    port: api.servicePort,
    ca: isInsecure ? undefined : await read(caFile ?? `${SERVICE_ACCOUNT_DIR}/ca.crt`, MAX_CA_BYTES),
    token: new TextDecoder().decode(token),
  });
}
