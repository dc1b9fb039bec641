// For tests: a pod as istiod injects it, and what the chart's values make the agent do with such pods.
import { type Pod, parsePod } from "../src/core/kube/pod.ts";
import type { RepairMode, RepairOptions } from "../src/core/policy/repair-decision.ts";
import type { SidecarSettings } from "../src/core/policy/sidecar-decision.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../src/core/rules/sidecar-capture.ts";

export const SETTINGS: SidecarSettings = {
  excludedNamespaces: ["kube-system"],
  agentNamespace: "istio-system",
  ownerGroups: DEFAULT_SIDECAR_CAPTURE.ownerGroups,
  loopbackCidrV4: DEFAULT_SIDECAR_CAPTURE.loopbackCidrV4,
};

export function repairOptions<M extends RepairMode>(mode: M): RepairOptions & { readonly mode: M } {
  return {
    mode,
    selects: () => true,
    sidecarAnnotation: "sidecar.istio.io/status",
    initContainerName: "istio-validation",
    terminationMessage: "",
    exitCode: 126,
    labelKey: "cni.istio.io/uninitialized",
  };
}

/** Injected, and running. */
export function runningSidecarPod(name: string, annotations: Readonly<Record<string, string>> = {}): Pod {
  return parsePod({
    metadata: {
      uid: `uid-of-${name}`,
      name,
      namespace: "shop",
      resourceVersion: "1",
      annotations: { "sidecar.istio.io/status": "{}", ...annotations },
    },
    spec: { containers: [{ name: "app" }, { name: "istio-proxy", args: ["proxy", "sidecar"] }] },
    status: { phase: "Running" },
  });
}
