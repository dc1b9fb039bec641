/**
 * For tests: an installer on a test host, which is given by the test because services may not make one.
 */
import type { FightPolicy } from "../../core/cni/conflist-life.ts";
import type { DesiredInstall } from "../../core/cni/decide-install.ts";
import type { TestHost } from "../../platform/fs/testing.ts";
import { createInstaller, type Installer } from "./installer.ts";
import type { HostFolders } from "./observe-host.ts";
import { type RemovalReport, removeFromHost } from "./remove-from-host.ts";

export const DESIRED: DesiredInstall = {
  entry: { capabilities: { "io.kubernetes.cri.pod-annotations": true }, type: "istio-cni" },
  mode: "chained",
  confName: undefined,
  ownedName: "02-istio-cni.conflist",
  settleMs: 50,
};

export type TestOptions = {
  readonly desired?: Partial<DesiredInstall>;
  readonly binDirs?: HostFolders["binDirs"];
  readonly netDir?: HostFolders["netDir"];
  readonly fight?: FightPolicy;
};

/** Runs an installer while `body` runs, and ends it. What it counts is in `host.counted`. */
export async function withInstaller(
  host: TestHost,
  body: (installer: Installer) => Promise<void>,
  options: TestOptions = {},
): Promise<void> {
  const installer = createInstaller(
    {
      files: host.files,
      watchFolders: (folders) => host.watchFolders(folders),
      clock: host.clock,
      random: () => 0,
      log: host.log,
      metrics: {
        installReady: (isReady) => host.counted.push(`ready ${isReady}`),
        installFinished: (result) => host.counted.push(result),
        conflistReasserted: () => host.counted.push("reasserted"),
        conflistFought: (isFighting) => host.counted.push(`fight ${isFighting}`),
      },
      onTakenOff: (isTakenOff) => host.counted.push(`taken off ${isTakenOff}`),
      onFight: (message) => host.counted.push(`told ${message}`),
    },
    {
      ...foldersOf(host),
      ...(options.binDirs && { binDirs: options.binDirs }),
      ...(options.netDir && { netDir: options.netDir }),
      desired: { ...DESIRED, ...options.desired },
      newConfMode: 0o600,
      fight: options.fight ?? "keep",
      runDir: host.runDir,
      recheckMs: 100,
    },
  );
  const ending = new AbortController();
  const run = installer.run(ending.signal);
  try {
    await body(installer);
  } finally {
    ending.abort();
    await run;
  }
}

/** Removal without anybody who needs the plugin, and without waiting for the runtime. */
export async function removeFrom(
  host: TestHost,
  options: { readonly users?: string; readonly folders?: Partial<HostFolders> } = {},
): Promise<RemovalReport> {
  return await removeFromHost(
    { files: host.files, clock: host.clock, log: host.log, pluginUsers: async () => options.users },
    { ...foldersOf(host), ...options.folders, ownedName: DESIRED.ownedName, drainMs: 0, isWatched: false },
    new AbortController().signal,
  );
}

export function foldersOf(host: TestHost): HostFolders {
  return { netDir: [host.netDir], binDirs: [[host.binDir]], pluginSourceDir: host.sourceDir };
}
