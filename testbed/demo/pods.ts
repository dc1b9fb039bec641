// The pods of the demo and what is expected of each: decision, reason, and which family's connections go to the sidecar.
import type { KubeObject } from "../api-server/kube-object.ts";
import { gatewayPod, istioInitPod, plainPod, sidecarPod } from "../api-server/pod-fixtures.ts";
import type { PodOptions } from "../api-server/pod-skeleton.ts";
import { NEW_POD, withProxyEnv } from "../node/mesh-node.ts";

/** One pod of the demo. */
export interface DemoPod {
  readonly name: string;
  readonly namespace: string;
  /** What is special about it, for people. */
  readonly what: string;
  readonly object: KubeObject;
  /** Whether a proxy listens in it: none in a pod that is not injected. */
  readonly proxy: "none" | "redirect" | "tproxy";
  /** Only IPv6 addresses: the pod network is changed before it starts. */
  readonly v6Only: boolean;
  readonly expected: DemoExpectation;
}

/** Families are those of captured connections, in and out alike. */
export interface DemoExpectation {
  readonly decision: "in" | "out";
  readonly reason: string;
  readonly captured: readonly (4 | 6)[];
}

/** The pod whose application answers the others; it is in the table as well. */
export const CLIENT = "plain";

/** All of them in the order in which they start. */
export function describeDemoPods(): readonly DemoPod[] {
  const inside = (captured: readonly (4 | 6)[]): DemoExpectation => ({ decision: "in", reason: "sidecar", captured });
  const outside = (reason: string): DemoExpectation => ({ decision: "out", reason, captured: [] });
  const dualStack = (options: PodOptions): KubeObject =>
    withProxyEnv(sidecarPod(options), { ISTIO_DUAL_STACK: "true" });
  return [
    pod(CLIENT, "not injected", plainPod, outside("not-injected"), { proxy: "none" }),
    pod("sidecar", "sidecar as container", sidecarPod, inside([4])),
    pod("native", "sidecar as init container", (options) => sidecarPod({ ...options, native: true }), inside([4])),
    pod("dual", "ISTIO_DUAL_STACK on the proxy", dualStack, inside([4, 6])),
    pod(
      "tproxy",
      "interception mode TPROXY",
      (options) => sidecarPod({ ...options, interceptionMode: "TPROXY" }),
      inside([4]),
      { proxy: "tproxy" },
    ),
    pod("gateway", "its proxy is a router", gatewayPod, outside("proxy-not-sidecar"), { proxy: "none" }),
    pod("init", "istio-init makes the rules itself", istioInitPod, outside("istio-init")),
    pod("excluded", "sidecar, but excluded namespace", sidecarPod, outside("excluded-namespace"), {
      namespace: "kube-system",
    }),
    pod("v6", "sidecar, IPv6 addresses only", sidecarPod, inside([6]), { v6Only: true }),
  ];
}

function pod(
  name: string,
  what: string,
  make: (options: PodOptions) => KubeObject,
  expected: DemoExpectation,
  special: Partial<Pick<DemoPod, "namespace" | "proxy" | "v6Only">> = {},
): DemoPod {
  const { namespace = "shop", proxy = "redirect", v6Only = false } = special;
  return { name, namespace, what, object: make({ ...NEW_POD, name, namespace }), proxy, v6Only, expected };
}
