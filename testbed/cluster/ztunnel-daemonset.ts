// The stand-in for ztunnel as a DaemonSet: its image, of one static program, and ztunnel.yaml.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { renderImageArchive } from "../node/image.ts";
import { compileZtunnel } from "../ztunnel/ztunnel-process.ts";
import type { Cluster } from "./create-cluster.ts";

/** What ztunnel.yaml names. */
const ZTUNNEL_IMAGE = "localhost/istio-install-cni/ztunnel:test";

/** Renders the archive. @throws {Error} when the program does not compile. */
export function renderZtunnelImage(): Uint8Array {
  return renderImageArchive({
    reference: ZTUNNEL_IMAGE,
    files: [{ path: "ztunnel", content: readFileSync(compileZtunnel()), mode: 0o755 }],
    entrypoint: ["/ztunnel"],
    command: [],
  });
}

/** Makes the DaemonSet, whose image has to be on the nodes; waitZtunnelReady() (observe-ambient.ts) waits for it. */
export async function applyZtunnel(cluster: Cluster): Promise<void> {
  await cluster.apply(join(import.meta.dirname, "ztunnel.yaml"));
}
