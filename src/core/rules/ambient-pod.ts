// The redirection of one ambient pod as rules: contract 7.6 and 7.7.

import type { AmbientCapture } from "./ambient-capture.ts";
import type { PodNetwork, Ruleset } from "./model.ts";

/** The rules of every family that is captured, in the iptables dialect. Equal captures give equal rulesets. */
export function ambientRules(_capture: AmbientCapture): Ruleset[] {
  throw new TypeError("Cannot capture an ambient pod: its rules are not written yet");
}

/** The rules in native nftables, one ruleset of family inet. */
export function ambientInetRules(_capture: AmbientCapture): Ruleset[] {
  throw new TypeError("Cannot capture an ambient pod: its rules are not written yet");
}

/** What the pod's netns needs beside the rules. Applying it twice is harmless. */
export function ambientNetwork(_capture: AmbientCapture): PodNetwork {
  throw new TypeError("Cannot capture an ambient pod: its rules are not written yet");
}
