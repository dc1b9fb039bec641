// Takes out of the node's own network namespace what lets probes into ambient pods: ambient mode is switched off, or the
// product goes.
import { findHostProbes } from "../agent/netfilter/find-host-probes.ts";
import { createHostProbes } from "../agent/netfilter/host-probes.ts";
import type { BackendDecision } from "../core/policy/backend-decision.ts";
import type { AmbientCapture } from "../core/rules/ambient-capture.ts";
import { createProcReader } from "../platform/fs/proc-reader.ts";
import { openNetnsFile } from "../platform/linux/dup-netns.ts";
import { HOST_PROBE_DEPS } from "./host-probe-deps.ts";

export interface RemoveHostProbesOptions {
  readonly probeSource: AmbientCapture["probeSource"];
  readonly backend: Pick<BackendDecision, "dialect" | "nfTables">;
  /** Where the node's processes are seen. @default "/host/proc" */
  readonly proc?: string;
}

/** False: there was nothing. Whoever keeps the rules has to have ended. Rejects where the node's namespace cannot be reached,
 * or the kernel refuses; what could be removed is gone then. */
export async function removeHostProbes(options: RemoveHostProbesOptions): Promise<boolean> {
  const { probeSource, backend, proc = "/host/proc" } = options;
  using netns = openNetnsFile(createProcReader(proc).nodeNetns().path);
  if (!(await findHostProbes(HOST_PROBE_DEPS, netns.fd, backend.nfTables))) return false;
  const host = { families: { v4: true, v6: true }, probeSource };
  const { dialect, nfTables } = backend;
  const at = { netnsFd: netns.fd, dialect, nfTables, host, kubeletUid: () => 0 };
  using probes = createHostProbes(HOST_PROBE_DEPS, at);
  return await probes.removeAll();
}
