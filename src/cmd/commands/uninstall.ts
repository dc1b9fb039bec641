/**
 * `install-cni uninstall`: takes everything of istio-cni off this node. Needs neither the API server nor an agent; one that
 * runs is told to put nothing back.
 */

import { join } from "node:path";
import type { RemovalReport } from "../../agent/install/remove-from-host.ts";
import { markUninstalled } from "../../agent/install/run-dir.ts";
import type { AgentConfig } from "../../core/config/agent-config.ts";
import { resolveConfig } from "../../core/config/resolve-config.ts";
import { SILENT } from "../../core/log.ts";
import { UPSTREAM_LOG_SOCKET } from "../../core/run-dir-names.ts";
import { printable, renderJson } from "../../core/text-columns.ts";
import { createSystemClock } from "../../platform/clock.ts";
import { askOverUnix, UnixRequestError } from "../../platform/http/unix-client.ts";
import type { OptionFlags } from "../flags.ts";
import { createHostAccess } from "../host-access.ts";
import { leaveAmbientAlone } from "../leave-ambient-alone.ts";
import { leaveHost } from "../leave-host.ts";
import { adminSocketPath } from "../paths.ts";

/** How it ends. done: nothing of us is called any more. incomplete: something could not be removed; it may be run again. */
export const UNINSTALL_EXIT_CODES = { done: 0, incomplete: 1, usage: 2 } as const;

export interface UninstallInput {
  readonly flags: OptionFlags;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly output: "text" | "json";
  /** Also where another agent, which is not ours, listens on this node. */
  readonly isForced: boolean;
}

const DRAIN_MS = 3000;
const DEADLINE_MS = 120_000;
/** For connections through ztunnel. */
const FINISH_MS = 30_000;
const ANNOTATION_STAYS =
  "Left the annotation of these pods, which is the API server's: kubectl -n NAMESPACE annotate pod NAME ambient.istio.io/redirection-";
const ASK_TIMEOUT_MS = 2000;

/** @throws {ConfigError} for folders that are none; all other options are the agent's business and not looked at. */
export async function uninstall({ flags, env, output, isForced }: UninstallInput): Promise<{
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: (typeof UNINSTALL_EXIT_CODES)[keyof typeof UNINSTALL_EXIT_CODES];
}> {
  const { config } = resolveConfig({ flags, env: folderVariables(env) });
  const { runDir } = config.install;
  const isOurs = await isServed(adminSocketPath(runDir));
  const upstreams = join(runDir, UPSTREAM_LOG_SOCKET);
  if (!isOurs && !isForced && (await isServed(upstreams))) {
    const reason = `another agent listens at ${upstreams} and would put everything back; delete its DaemonSet first, or use --force`;
    return { stdout: "", stderr: `Cannot uninstall: ${reason}\n`, exitCode: UNINSTALL_EXIT_CODES.incomplete };
  }
  const files = createHostAccess(SILENT);
  if (isOurs) await markUninstalled(files, runDir);
  const clock = createSystemClock();
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  const letPodsGo = async (): Promise<{ done: readonly string[]; failed: RemovalReport["failed"] }> => {
    const { runDir: from } = config.install;
    const { policy, probeSource } = ambientOptions(config, env);
    const alone = { runDir: from, policy, probeSource, finishMs: FINISH_MS, clock, log: SILENT };
    const { released, hadHostProbes, left } = await leaveAmbientAlone(alone, deadline);
    return {
      done: [
        ...released.map((pod) => `Took pod ${pod} out of ambient mode`),
        ...(released.length > 0 ? [ANNOTATION_STAYS] : []),
        ...(hadHostProbes ? ["Removed the node's rules for probes of ambient pods"] : []),
      ],
      failed: left.map(({ what, reason }) => ({ path: what, reason })),
    };
  };
  const report = await leaveHost(
    { files, clock, log: SILENT },
    // An agent that runs lets them go itself, as it sees the mark.
    { install: config.install, drainMs: DRAIN_MS, keepsRunDir: isOurs, ...(!isOurs && { before: letPodsGo }) },
    deadline,
  );
  return {
    stdout: output === "json" ? renderJson({ isDone: report.failed.length === 0, ...report }) : renderText(report),
    stderr: "",
    exitCode: report.failed.length === 0 ? UNINSTALL_EXIT_CODES.done : UNINSTALL_EXIT_CODES.incomplete,
  };
}

function renderText({ done, kept, failed }: RemovalReport): string {
  const lines = [
    ...done,
    ...kept.map(({ path, reason }) => `Kept ${path}: ${reason}`),
    ...failed.map(({ path, reason }) => `Cannot remove ${path}: ${reason}`),
  ];
  const end =
    failed.length > 0
      ? "istio-cni is not wholly removed from this node; it may be run again"
      : kept.length > 0
        ? "No pod that starts now meets istio-cni; run it again for what was kept"
        : done.length > 0
          ? "istio-cni is removed from this node"
          : "There is nothing of istio-cni on this node";
  return [...lines, end].map((line) => `${printable(line)}\n`).join("");
}

/** Rules are found whatever they were written with. Of these options a malformed value must not keep us from removing. */
function ambientOptions(
  folders: AgentConfig,
  env: UninstallInput["env"],
): { readonly policy: AgentConfig["policy"]; readonly probeSource: AgentConfig["ambient"]["probeSource"] } {
  const names = ["NATIVE_NFTABLES", "FORCE_IPTABLES_BINARY", "HOST_PROBE_SNAT_IP", "HOST_PROBE_SNAT_IPV6"];
  try {
    const { config } = resolveConfig({
      flags: new Map(),
      env: Object.fromEntries(names.map((name) => [name, env[name]])),
    });
    return { policy: config.policy, probeSource: config.ambient.probeSource };
  } catch {
    return { policy: folders.policy, probeSource: folders.ambient.probeSource };
  }
}

/** What says where things are; a malformed value of any other option must not keep us from removing. */
function folderVariables(env: UninstallInput["env"]): UninstallInput["env"] {
  const names = [
    "MOUNTED_CNI_NET_DIR",
    "CNI_NET_DIR",
    "CNI_BIN_DIR",
    "CNI_AGENT_RUN_DIR",
    "CNI_CONF_NAME",
    "ISTIO_OWNED_CNI_CONFIG_FILENAME",
    "ISTIO_OWNED_CNI_CONF_FILENAME",
    "KUBECFG_FILE_NAME",
  ];
  return Object.fromEntries(names.map((name) => [name, env[name]]));
}

/** Whether anybody listens there. Whoever does not let us ask is there too. */
async function isServed(socketPath: string): Promise<boolean> {
  try {
    await askOverUnix(socketPath, "/", { timeoutMs: ASK_TIMEOUT_MS, maxBytes: 1 << 20 });
    return true;
  } catch (error) {
    return !(error instanceof UnixRequestError) || (error.code !== "no-socket" && error.code !== "no-listener");
  }
}
