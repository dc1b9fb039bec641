// What the agent does to the host at its start, and nothing else: for install-crash.test.ts, which kills it in the middle.
//   install-once.ts NET_DIR BIN_DIR PLUGIN_DIR [chained|owned|standalone|uninstall]

import { createInstaller } from "../../src/agent/install/installer.ts";
import { removeFromHost } from "../../src/agent/install/remove-from-host.ts";
import { createHostAccess } from "../../src/cmd/host-access.ts";
import { createPluginEntry } from "../../src/core/cni/plugin-entry.ts";
import { SAMPLE_ENTRY_OPTIONS } from "../../src/core/cni/testing.ts";
import type { Logger } from "../../src/core/log.ts";
import { createSystemClock } from "../../src/platform/clock.ts";
import { createDirectoryWatch } from "../../src/platform/fs/directory-watch.ts";

const [netDir = "", binDir = "", pluginSourceDir = "", mode = "chained"] = process.argv.slice(2);
const log: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (message) => process.stderr.write(`${message}\n`),
  scope: () => log,
};
const OWNED_NAME = "02-istio-cni.conflist";
const folders = { netDir: [netDir], binDirs: [[binDir]], pluginSourceDir };
const files = createHostAccess(log);
const clock = createSystemClock();

if (mode === "uninstall") {
  const { failed } = await removeFromHost(
    { files, clock, log, pluginUsers: async () => undefined },
    { ...folders, ownedName: OWNED_NAME, drainMs: 0, isWatched: false },
    AbortSignal.timeout(30_000),
  );
  process.exitCode = failed.length === 0 ? 0 : 1;
} else {
  const ending = new AbortController();
  const entry = createPluginEntry({ ...SAMPLE_ENTRY_OPTIONS, agentWaitMs: 300 });
  const installer = createInstaller(
    {
      files,
      watchFolders: createDirectoryWatch,
      clock,
      random: () => 0,
      log,
      metrics: {
        installReady: (isReady) => isReady && ending.abort(),
        installFinished: () => undefined,
        conflistReasserted: () => undefined,
        conflistFought: () => undefined,
      },
      onTakenOff: () => undefined,
      onFight: () => undefined,
    },
    {
      ...folders,
      desired: {
        entry,
        mode: mode === "owned" || mode === "standalone" ? mode : "chained",
        confName: undefined,
        ownedName: OWNED_NAME,
        settleMs: 0,
      },
      newConfMode: 0o600,
      fight: "keep",
      runDir: "/nonexistent/istio-cni",
      recheckMs: 1000,
    },
  );
  await installer.run(AbortSignal.any([ending.signal, AbortSignal.timeout(30_000)]));
}
