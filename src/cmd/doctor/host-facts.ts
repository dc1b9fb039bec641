// Looks at the host as this process sees it: rights, folders, mounts, the runtime's chain, processes, ports. Reads only.
import { dirname, join } from "node:path";
import { createHostObserver } from "../../agent/install/observe-host.ts";
import { decideInstall } from "../../core/cni/decide-install.ts";
import { KUBECONFIG_NAME } from "../../core/cni/host-kubeconfig.ts";
import type { AgentConfig } from "../../core/config/agent-config.ts";
import { networkPlugins } from "../../core/doctor/cni-checks.ts";
import type { CniFacts, FolderFacts, FolderRole, NodeFacts, ProcessFacts } from "../../core/doctor/node-facts.ts";
import { parseListening } from "../../core/doctor/proc-texts.ts";
import { SILENT } from "../../core/log.ts";
import { parseMountInfo } from "../../core/mount-info.ts";
import { parseCgroup } from "../../core/netns/cgroup-text.ts";
import { sandboxOfProgram } from "../../core/netns/sandbox-runtime.ts";
import { parseProcessStat } from "../../core/netns/stat-text.ts";
import { createSystemClock } from "../../platform/clock.ts";
import { firstExisting, hasName } from "../../platform/fs/existing-path.ts";
import { createProcReader } from "../../platform/fs/proc-reader.ts";
import { createThrowawayNetns } from "../../platform/linux/throwaway-netns.ts";
import { lookAtFolder, lookAtSpace, tryWatch } from "../../platform/probe/look-at-folder.ts";
import { readText } from "../../platform/probe/read-text.ts";
import { desiredInstall } from "../desired-install.ts";
import { createHostAccess } from "../host-access.ts";
import { readNetworkConfig } from "../network-config.ts";
import { findPluginDir } from "../paths.ts";
import { bounded } from "./bounded.ts";

/** One look at the disk; a network file system that hangs is given up. */
const LOOK_MS = 3000;
/** Of a node's processes so many are looked at. */
const MAX_PROCESSES = 8192;
/** Mounts of a node with some hundred pods have about 200 bytes each. */
const MAX_MOUNT_BYTES = 4 << 20;
/** A host's sockets, about 150 bytes each. */
const MAX_SOCKET_BYTES = 16 << 20;

/** The folders the agent would use; outside a container also by the names they have on the host. */
export function withHostNames(config: AgentConfig, isContainer: boolean): AgentConfig {
  if (isContainer) return config;
  const named = (candidates: readonly string[]): readonly string[] => [
    ...new Set([...candidates, ...candidates.map((path) => path.replace(/^\/host\//, "/"))]),
  ];
  const { install } = config;
  return { ...config, install: { ...install, netDir: named(install.netDir), binDirs: install.binDirs.map(named) } };
}

/** This process's own rights. */
export async function gatherRights(): Promise<NodeFacts["rights"]> {
  const text = (path: string) => bounded(LOOK_MS, () => readText(path));
  const [status, limits, uidMap, label, enforce, inotify] = await Promise.all([
    text("/proc/self/status"),
    text("/proc/self/limits"),
    text("/proc/self/uid_map"),
    // EINVAL where no security module labels processes.
    bounded(LOOK_MS, () => readText("/proc/self/attr/current").catch(() => "")),
    text("/sys/fs/selinux/enforce"),
    bounded(LOOK_MS, async (): Promise<true> => {
      await tryWatch("/");
      return true;
    }),
  ]);
  // Last: threads of the pool must not be born while this one is in another namespace.
  const netns = await bounded(LOOK_MS, (): true => {
    createThrowawayNetns()[Symbol.dispose]();
    return true;
  });
  const isSelinuxEnforcing = "value" in enforce ? enforce.value.trim() === "1" : undefined;
  return { status, limits, uidMap, label, isSelinuxEnforcing, netns, inotify };
}

/** @param proc where the node's processes are to be seen; undefined: nobody needs them */
export async function gatherFolders(config: AgentConfig, proc: string | undefined): Promise<readonly FolderFacts[]> {
  const { install, ambient } = config;
  const wanted: readonly (readonly [FolderRole, readonly string[]])[] = [
    ["conf", install.netDir],
    ...install.binDirs.map((candidates) => ["bin", candidates] as const),
    ["run", [install.runDir]],
    ...(proc === undefined ? [] : [["proc", [proc]] as const]),
    ...(ambient.enabled ? [["ztunnel", [dirname(ambient.ztunnelSocketPath)]] as const] : []),
  ];
  return await Promise.all(wanted.map(([role, candidates]) => lookAt(role, candidates)));
}

async function lookAt(role: FolderRole, candidates: readonly string[]): Promise<FolderFacts> {
  const path = firstExisting(candidates);
  if (path === undefined) return { role, candidates, found: undefined };
  const [look, space] = await Promise.all([
    bounded(LOOK_MS, () => lookAtFolder(path)),
    bounded(LOOK_MS, () => lookAtSpace(path)),
  ]);
  const found =
    "unknown" in look
      ? { path, realPath: path, isFolder: true, isWritable: look, space }
      : { path, ...look.value, isWritable: { value: look.value.isWritable }, space };
  return { role, candidates, found };
}

export async function gatherMounts(): Promise<NodeFacts["mounts"]> {
  return await bounded(LOOK_MS, async () => parseMountInfo(await readText("/proc/self/mountinfo", MAX_MOUNT_BYTES)));
}

/** What the runtime reads, and what an agent with this configuration would change. */
export async function gatherCni(config: AgentConfig): Promise<CniFacts> {
  const { install } = config;
  const files = createHostAccess(SILENT);
  const folders = { netDir: install.netDir, binDirs: install.binDirs, pluginSourceDir: findPluginDir() };
  const view = await bounded(LOOK_MS, () =>
    createHostObserver({ files, clock: createSystemClock() }, folders).observe(),
  );
  const decision = await bounded(LOOK_MS, async () => {
    if ("unknown" in view) throw new Error(view.unknown);
    // Nothing is to be settled: this is one look.
    return decideInstall(view.value, { ...desiredInstall(config, await readNetworkConfig(config)), settleMs: 0 });
  });
  const stray = [
    ...install.netDir.map((folder) => join(folder, install.legacyKubeconfigName)),
    ...(install.hostKubeconfig === undefined ? [join(install.runDir, KUBECONFIG_NAME)] : []),
  ];
  const there = install.binDirs.flatMap((candidates) => firstExisting(candidates) ?? []);
  // Of a folder that is not there something else is said.
  const wanted = "unknown" in view || there.length === 0 ? [] : networkPlugins(view.value);
  const absentPlugins = wanted.filter((type) => !there.some((folder) => hasName(folder, type)));
  return { view, decision, absentPlugins, strayTokens: stray.filter((path) => firstExisting([path]) !== undefined) };
}

/** @param root where the node's procfs is */
export async function gatherProcesses(root: string): Promise<NodeFacts["processes"]> {
  return await bounded(LOOK_MS, async (): Promise<ProcessFacts> => {
    const proc = createProcReader(root);
    const pids = (await proc.pids()).slice(0, MAX_PROCESSES);
    const sandboxes = new Set<string>();
    let inPods = 0;
    for (const pid of pids) {
      const comm = parseProcessStat(proc.stat(pid) ?? "")?.comm;
      if (comm === undefined) continue;
      const sandbox = sandboxOfProgram({ comm, exe: undefined });
      if (sandbox !== undefined) sandboxes.add(sandbox);
      if (parseCgroup((await proc.cgroup(pid)) ?? "").podUids.length > 0) inPods += 1;
    }
    return { total: pids.length, inPods, sandboxes: [...sandboxes] };
  });
}

export async function gatherListening(): Promise<NodeFacts["listening"]> {
  return await bounded(LOOK_MS, async () => {
    const [v4, v6] = await Promise.all([
      readText("/proc/net/tcp", MAX_SOCKET_BYTES),
      // A kernel without IPv6 has no such file.
      readText("/proc/net/tcp6", MAX_SOCKET_BYTES).catch(() => ""),
    ]);
    return parseListening(v4, v6);
  });
}
