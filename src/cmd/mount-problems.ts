// What a DaemonSet written by hand has forgotten to mount: said in the log at start, and as long as the agent is not ready.
import { dirname } from "node:path";
import type { AgentConfig } from "../core/config/agent-config.ts";
import { firstExisting } from "../platform/fs/existing-path.ts";
import { findMountPoint } from "../platform/fs/mount-point.ts";

/** One sentence per kind of problem, without a full stop; none when all is there. */
export async function findMountProblems({
  install,
  repair,
  ambient,
}: Pick<AgentConfig, "install" | "repair" | "ambient">): Promise<readonly string[]> {
  const wanted = [
    install.netDir,
    ...install.binDirs,
    ...(repair.repairPods || ambient.enabled ? [["/host/proc"]] : []),
    ...(ambient.enabled ? [[dirname(ambient.ztunnelSocketPath)]] : []),
  ];
  const found = wanted.map((candidates) => firstExisting(candidates));
  const missing = wanted.flatMap((candidates, index) => (found[index] === undefined ? candidates.slice(0, 1) : []));
  const problems: string[] = [];
  if (missing.length > 0) {
    problems.push(
      `Missing in this container: ${missing.join(", ")}; the DaemonSet has to mount the host's folders there (as upstream's chart does), until then no pod is captured`,
    );
  }
  const [netDir] = found;
  if (netDir !== undefined && (await isMounted(netDir)) && !(await isMounted(install.runDir))) {
    problems.push(
      `${install.runDir} is not mounted from the host, although ${netDir} is: plugins on the host cannot reach the agent; the DaemonSet has to mount it at the same path`,
    );
  }
  return problems;
}

/** False where it cannot be told, as outside a container. */
async function isMounted(path: string): Promise<boolean> {
  const mount = await findMountPoint(path);
  return mount !== undefined && mount.path !== "/";
}
