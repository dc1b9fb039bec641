// What the state file is made of, for the agent's reader of it and for the plugin's.
import { renderPluginState } from "../../../src/core/plugin-protocol/state-file.ts";

export const STATE_WORDS: readonly string[] = [
  "version",
  "1",
  "mode",
  "ambient",
  "sidecar",
  "when_away",
  "strict",
  "enroll-later",
  "excluded_namespaces",
  "enrolling_namespaces",
  "pod_enrolling_namespaces",
];

export const STATE_SEEDS: readonly Uint8Array[] = [
  renderPluginState({
    mode: "ambient",
    whenAway: "enroll-later",
    excludedNamespaces: ["a"],
    enrollment: { byNamespace: ["b"], byPod: ["c"] },
  }),
  renderPluginState({ mode: "sidecar", whenAway: "strict", excludedNamespaces: [], enrollment: undefined }),
];
