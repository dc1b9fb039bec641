// The node's container runtime: its configuration, start, readiness and end.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { mustRun, type RunningCommand, startCommand } from "./command.ts";
import { type CriClient, createCriClient } from "./cri-client.ts";

export interface ContainerdOptions {
  readonly stateDir: string;
  readonly sandboxImage: string;
  readonly cniBinDir: string;
  readonly cniConfDir: string;
  readonly logLevel: "info" | "debug";
}

/** A running containerd and a connection to it. */
export interface Containerd {
  readonly pid: number;
  readonly socket: string;
  readonly cri: CriClient;
  /** The last lines it logged, since its last start. */
  readonly log: readonly string[];
  importImage(archive: Uint8Array): Promise<void>;
  /** The same for an archive on disk, in a format that `ctr images import` knows. */
  importImageFile(path: string): Promise<void>;
  /** Resolves once the runtime and its pod network are ready. */
  waitReady(timeoutMs?: number): Promise<void>;
  /** Ends the daemon and starts it again, as an upgrade of it does: sandboxes stay. `whileAway` is called in between. Resolves when
   * it runs, not when it is ready. */
  restart(signal?: NodeJS.Signals, whileAway?: () => void): Promise<void>;
  /** Ends the daemon; sandboxes must have been removed before. */
  stop(): Promise<void>;
}

const SOCKET = "/run/containerd/containerd.sock";

/** Starts containerd on the paths a node has it on, so that `ctr` and `crictl` work without options. */
export function startContainerd(options: ContainerdOptions): Containerd {
  const root = join(options.stateDir, "containerd");
  const configPath = join(options.stateDir, "containerd.toml");
  mkdirSync(root, { recursive: true });
  writeFileSync(configPath, renderConfig(root, options));
  const start = (): RunningCommand => startCommand(["containerd", "--config", configPath]);
  let daemon = start();
  const cri = createCriClient(SOCKET);

  async function waitReady(timeoutMs = 60_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    let ended: number | undefined;
    void daemon.exited.then((status) => {
      ended = status;
    });
    let state = "no answer";
    while (performance.now() < deadline && ended === undefined) {
      try {
        const missing = (await cri.conditions(5000)).filter((condition) => !condition.status);
        if (missing.length === 0) return;
        state = missing.map((condition) => `${condition.type}: ${condition.message}`).join("; ");
      } catch (error) {
        state = String(error);
      }
      await sleep(20);
    }
    const reason = ended === undefined ? `not ready within ${timeoutMs} ms (${state})` : `it ended with ${ended}`;
    throw new Error(`Cannot use containerd: ${reason}\n${daemon.lines.slice(-20).join("\n")}`);
  }

  async function importImageFile(path: string): Promise<void> {
    const argv = ["ctr", "--address", SOCKET, "--namespace", "k8s.io", "images", "import", path];
    await mustRun(argv, { timeoutMs: 120_000 });
  }

  return {
    get pid() {
      return daemon.pid;
    },
    socket: SOCKET,
    cri,
    get log() {
      return daemon.lines;
    },
    waitReady,
    async importImage(archive) {
      const path = join(options.stateDir, "image.tar");
      writeFileSync(path, archive);
      await importImageFile(path);
      rmSync(path);
    },
    importImageFile,
    async restart(signal = "SIGTERM", whileAway) {
      await daemon.stop(signal);
      whileAway?.();
      daemon = start();
    },
    async stop() {
      cri[Symbol.dispose]();
      await daemon.stop();
    },
  };
}

// restrict_oom_score_adj: where CAP_SYS_RESOURCE is missing (containers, many CI machines), runc cannot lower a
// sandbox's oom_score_adj and dies with "can't get final child's PID from pipe: EOF".
function renderConfig(root: string, options: ContainerdOptions): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  const snapshotters = ["aufs", "btrfs", "devmapper", "zfs"].map((name) => `"io.containerd.snapshotter.v1.${name}"`);
  return `version = 2
root = ${JSON.stringify(root)}
state = "/run/containerd"
oom_score = 0
disabled_plugins = [${snapshotters.join(", ")}, "io.containerd.internal.v1.opt"]

[grpc]
  address = "${SOCKET}"
[debug]
  level = "${options.logLevel}"

[${cri}]
  sandbox_image = ${JSON.stringify(options.sandboxImage)}
  restrict_oom_score_adj = true
  disable_apparmor = true
  tolerate_missing_hugetlb_controller = true
[${cri}.cni]
  bin_dir = ${JSON.stringify(options.cniBinDir)}
  conf_dir = ${JSON.stringify(options.cniConfDir)}
  max_conf_num = 1
[${cri}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
[${cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[${cri}.containerd.runtimes.runc.options]
  SystemdCgroup = false
`;
}
