// A pod is captured in one of two ways, and whoever writes rules need not know which: the same questions for both.

import type { AmbientCapture } from "./ambient-capture.ts";
import { ambientInetRules, ambientNetwork, ambientRules } from "./ambient-pod.ts";
import type { PodNetwork, Ruleset } from "./model.ts";
import { sidecarInetRules, sidecarNetwork, sidecarRules } from "./sidecar.ts";
import { DEFAULT_SIDECAR_CAPTURE, type SidecarCapture } from "./sidecar-capture.ts";

/** What to capture of one pod, of either kind; `mode` tells which. */
export type PodCapture = SidecarCapture | AmbientCapture;

/** The rules in the iptables dialect, one ruleset for each family that is captured. */
export function podRules(capture: PodCapture): Ruleset[] {
  return capture.mode === "ambient" ? ambientRules(capture) : sidecarRules(capture);
}

/** The rules in native nftables: one ruleset of family inet. */
export function podInetRules(capture: PodCapture): Ruleset[] {
  return capture.mode === "ambient" ? ambientInetRules(capture) : [sidecarInetRules(capture)];
}

/** What the pod's netns needs beside the rules. */
export function podNetwork(capture: PodCapture): PodNetwork {
  return capture.mode === "ambient" ? ambientNetwork(capture) : sidecarNetwork(capture);
}

/** What a netns may hold that only a capture can have put there: routing by our marks. (::6 may be anybody's.) */
export const ROUTING_OF_CAPTURES: PodNetwork = (() => {
  const families = { v4: true, v6: true } as const;
  const networks = [
    sidecarNetwork({ ...DEFAULT_SIDECAR_CAPTURE, mode: "TPROXY", families }),
    ambientNetwork({ families }),
  ];
  return {
    addresses: [],
    policyRules: networks.flatMap(({ policyRules }) => policyRules),
    routes: networks.flatMap(({ routes }) => routes),
  };
})();

/** The capture with all that more families, or another mode of the same kind, would add to it. */
export function largestCapture(capture: PodCapture): PodCapture {
  const families = { v4: true, v6: true } as const;
  if (capture.mode === "ambient") return { ...capture, families };
  return { ...capture, mode: "TPROXY", inboundPorts: { include: "*", exclude: [] }, families };
}
