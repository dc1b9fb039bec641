// The image of the stand-in for ztunnel, so that a DaemonSet can run it: one static program.
import { readFileSync } from "node:fs";
import { renderImageArchive } from "../node/image.ts";
import { compileZtunnel } from "../ztunnel/ztunnel-process.ts";

/** What manifests/ambient/ztunnel.yaml names. */
export const ZTUNNEL_IMAGE = "localhost/istio-install-cni/ztunnel:test";

/** Renders the archive. @throws {Error} when the program does not compile. */
export function renderZtunnelImage(): Uint8Array {
  return renderImageArchive({
    reference: ZTUNNEL_IMAGE,
    files: [{ path: "ztunnel", content: readFileSync(compileZtunnel()), mode: 0o755 }],
    entrypoint: ["/ztunnel"],
    command: [],
  });
}
