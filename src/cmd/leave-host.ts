// Takes everything of ours off the host: what `install-cni uninstall` and a proven end of the agent have in common.
import { findPluginUsers } from "../agent/install/plugin-users.ts";
import { type Leftover, type RemovalReport, removeFromHost } from "../agent/install/remove-from-host.ts";
import { removeKubeconfig, removeRunFiles } from "../agent/install/run-dir.ts";
import type { AgentConfig } from "../core/config/agent-config.ts";
import type { Logger } from "../core/log.ts";
import { parseProcessStat } from "../core/netns/stat-text.ts";
import type { Clock } from "../platform/clock.ts";
import type { HostFiles } from "../platform/fs/host-files.ts";
import { createProcReader } from "../platform/fs/proc-reader.ts";
import { findPluginDir, hostPlaces } from "./paths.ts";

export interface LeaveHostDeps {
  readonly files: HostFiles;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface LeaveHostOptions {
  readonly install: AgentConfig["install"];
  readonly drainMs: number;
  /** An agent runs and needs what lies there. */
  readonly keepsRunDir: boolean;
  /** What else is to be done before the run directory goes. What it leaves is for another try, which needs that directory. */
  before?(): Promise<Pick<RemovalReport, "done" | "failed">>;
}

/** Rejects with the signal's reason only. */
export async function leaveHost(
  deps: LeaveHostDeps,
  { install, drainMs, keepsRunDir, before }: LeaveHostOptions,
  signal: AbortSignal,
): Promise<RemovalReport> {
  const { files } = deps;
  const { proc, rootByProc: hostRoot } = hostPlaces();
  const report = await removeFromHost(
    {
      ...deps,
      pluginUsers: (view) => findPluginUsers({ files, processNames: () => readProcessNames(proc) }, view, hostRoot),
    },
    {
      netDir: install.netDir,
      binDirs: install.binDirs,
      pluginSourceDir: findPluginDir(),
      ownedName: install.ownedConfigName,
      drainMs,
      isWatched: keepsRunDir,
    },
    signal,
  );
  // Whatever still names the plugin needs what the plugin needs.
  if (report.failed.length > 0) return report;
  const done: string[] = [...report.done];
  const failed: Leftover[] = [];
  for (const folder of install.netDir) {
    try {
      const isRemoved = await removeKubeconfig(files, folder, install.legacyKubeconfigName);
      if (isRemoved) done.push(`Removed ${folder}/${install.legacyKubeconfigName}`);
    } catch (error) {
      failed.push({ path: `${folder}/${install.legacyKubeconfigName}`, reason: String(error) });
    }
  }
  const others = await before?.();
  done.push(...(others?.done ?? []));
  failed.push(...(others?.failed ?? []));
  if (!keepsRunDir && (others?.failed ?? []).length === 0) {
    const run = await removeRunFiles(files, install.runDir);
    done.push(...run.done);
    failed.push(...run.failed);
  }
  return { done, kept: report.kept, failed };
}

/** The names of the host's processes; undefined when they cannot be seen. */
async function readProcessNames(root: string): Promise<ReadonlySet<string> | undefined> {
  try {
    const proc = createProcReader(root);
    const names = new Set<string>();
    for (const pid of await proc.pids()) {
      const stat = parseProcessStat(proc.stat(pid) ?? "");
      if (stat !== undefined) names.add(stat.comm);
    }
    return names;
  } catch {
    return undefined;
  }
}
