// Where the agent's own files lie: in a checkout's out/, or in the image.
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { DirectoryCandidates } from "../core/config/agent-config.ts";

/** Where the image keeps the plugin that is copied to hosts (contract 2.1 of DESIGN.md, upstream const.go:95@1.30.3). */
const IMAGE_PLUGIN_DIR = "/opt/cni/bin";

/** The folder that holds the plugin to be installed: beside the launcher in out/bin, else the image's. The bundle lies in
 * lib/istio-install-cni beside that bin/. */
export function agentPaths(): { readonly pluginDir: string } {
  const beside = join(import.meta.dirname, "../../bin");
  return { pluginDir: existsSync(join(beside, "istio-cni")) ? beside : IMAGE_PLUGIN_DIR };
}

/** The first candidate that exists now, else the first: its absence is then what the log and readiness tell. */
export function firstExisting(candidates: DirectoryCandidates): string {
  return candidates.find((path) => existsSync(path)) ?? candidates[0] ?? "/";
}
