// Decides whether a pod's traffic goes to its sidecar, and how: contract 4.4 steps 5 to 15 and 5.1, as one value with
// its reason. Who asks, and what is then done about it, is somebody else's business.

import { parseGoBoolean } from "../go-boolean.ts";
import { DAEMONSET_NAME } from "../kube/daemonset.ts";
import type { Container, Pod } from "../kube/pod.ts";
import { MAX_OWNER_ID } from "../rules/model.ts";
import { DEFAULT_SIDECAR_CAPTURE, type SidecarCapture } from "../rules/sidecar-capture.ts";
import { quoteText } from "../short-text.ts";
import { AnnotationError, parseCaptureAnnotations } from "./sidecar-annotations.ts";

/** Why a pod is in or out; stable words, used in logs, metrics, Events and status. */
export type SidecarReason =
  | "sidecar"
  | "host-network"
  | "excluded-namespace"
  | "own-agent"
  | "istio-init"
  | "proxy-disabled"
  | "no-proxy-container"
  | "proxy-not-sidecar"
  | "inject-disabled"
  | "not-injected"
  | "interception-mode-none"
  | "bad-annotation"
  | "bad-proxy-id";

/** Everything the capture needs but the families, which only the pod's network namespace can tell. */
export type SidecarPlan = Omit<SidecarCapture, "families"> & {
  /** ISTIO_DUAL_STACK of the proxy: capture both families (contract 5.3). */
  readonly dualStack: boolean;
};

export type SidecarDecision =
  | {
      readonly kind: "capture";
      readonly reason: "sidecar";
      readonly plan: SidecarPlan;
      readonly hints: readonly string[];
    }
  | { readonly kind: "pass"; readonly reason: Exclude<SidecarReason, "sidecar" | RefusalReason> }
  | { readonly kind: "refuse"; readonly reason: RefusalReason; readonly message: string };

type RefusalReason = "bad-annotation" | "bad-proxy-id";

/** What the operator set for all pods of the node. */
export interface SidecarSettings {
  readonly excludedNamespaces: readonly string[];
  /** The agent's own namespace. */
  readonly agentNamespace: string;
  /** `ISTIO_OUTBOUND_OWNER_GROUPS` and its exclusions, `ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR`, of the agent's environment. */
  readonly ownerGroups: SidecarCapture["ownerGroups"];
  readonly loopbackCidrV4: SidecarCapture["loopbackCidrV4"];
}

/** Name prefix by which the agent's own pods are known (contract 9): refusing one would keep the node without an agent. */
export const OWN_POD_PREFIX = `${DAEMONSET_NAME}-`;

/** What the injector writes into a pod that it has given a proxy. */
export const STATUS_ANNOTATION = "sidecar.istio.io/status";
/** A label, or an annotation where the label is absent: "false" keeps a pod out. */
export const INJECT_KEY = "sidecar.istio.io/inject";
/** Variables of the proxy that change what is captured. */
export const PROXY_FLAGS = {
  dnsCapture: "ISTIO_META_DNS_CAPTURE",
  dualStack: "ISTIO_DUAL_STACK",
  dropInvalid: "INVALID_DROP",
} as const;

/** Decides for `pod`. `annotations` are those the runtime passed, which belong to the very sandbox that starts; without
 * them the pod's own. Malformed booleans are read as upstream reads them, as false, and reported as hints. */
export function decideSidecar(
  pod: Pod,
  settings: SidecarSettings,
  annotations: Readonly<Record<string, string>> = pod.annotations,
): SidecarDecision {
  if (pod.name.startsWith(OWN_POD_PREFIX) && pod.namespace === settings.agentNamespace) return pass("own-agent");
  if (settings.excludedNamespaces.includes(pod.namespace)) return pass("excluded-namespace");
  if (pod.hostNetwork) return pass("host-network");
  const containers = [...pod.initContainers, ...pod.containers];
  if (containers.some(({ name }) => name === "istio-init")) return pass("istio-init");
  const proxy = containers.findLast(({ name }) => name === "istio-proxy");
  if (proxy === undefined) return pass("no-proxy-container");
  if (parseBoolean(proxy.env["DISABLE_ENVOY"]) === true) return pass("proxy-disabled");
  const [command, type] = proxy.args;
  if (command === "proxy" && type !== undefined && type !== "sidecar") return pass("proxy-not-sidecar");
  if (parseBoolean(pod.labels[INJECT_KEY] ?? annotations[INJECT_KEY]) === false) return pass("inject-disabled");
  if (annotations[STATUS_ANNOTATION] === undefined) return pass("not-injected");
  try {
    const { mode, ...annotated } = parseCaptureAnnotations(annotations);
    if (mode === "NONE") return pass("interception-mode-none");
    const hints: string[] = [];
    const flag = (name: string): boolean => proxyFlag(proxy, name, hints);
    const wrongId = describeWrongId(proxy);
    if (wrongId !== undefined) return { kind: "refuse", reason: "bad-proxy-id", message: wrongId };
    const plan: SidecarPlan = {
      ...annotated,
      mode,
      proxyUids: [proxyId(proxy.runAsUser, DEFAULT_SIDECAR_CAPTURE.proxyUids)],
      proxyGids: [proxyId(proxy.runAsGroup, DEFAULT_SIDECAR_CAPTURE.proxyGids)],
      dnsCapture: flag(PROXY_FLAGS.dnsCapture),
      dualStack: flag(PROXY_FLAGS.dualStack),
      dropInvalid: flag(PROXY_FLAGS.dropInvalid),
      ownerGroups: settings.ownerGroups,
      loopbackCidrV4: settings.loopbackCidrV4,
    };
    return { kind: "capture", reason: "sidecar", plan, hints };
  } catch (error) {
    if (error instanceof AnnotationError) return { kind: "refuse", reason: "bad-annotation", message: error.message };
    throw error;
  }
}

function pass(reason: Extract<SidecarDecision, { kind: "pass" }>["reason"]): SidecarDecision {
  return { kind: "pass", reason };
}

/** 0 and absent both mean the id of the official proxy image (contract 10.3). */
function proxyId(id: number | undefined, [fallback = 1337]: readonly number[]): number {
  return id === undefined || id === 0 ? fallback : id;
}

/** A number the kernel has no id for would match another one, root's for instance, if it were cut to 32 bits. */
function describeWrongId(proxy: Container): string | undefined {
  for (const key of ["runAsUser", "runAsGroup"] as const) {
    const id = proxy[key] ?? 0;
    if (!Number.isInteger(id) || id < 0 || id > MAX_OWNER_ID) {
      return `Cannot use securityContext.${key} of istio-proxy: ${id} is no id, it takes 0 to ${MAX_OWNER_ID}`;
    }
  }
  return undefined;
}

function proxyFlag(proxy: Container, name: string, hints: string[]): boolean {
  const value = proxy.env[name];
  const parsed = parseBoolean(value);
  if (value !== undefined && value !== "" && parsed === undefined) {
    hints.push(`${name}=${quoteText(value)} of istio-proxy is no boolean and counts as false`);
  }
  return parsed ?? false;
}

function parseBoolean(text: string | undefined): boolean | undefined {
  return text === undefined ? undefined : parseGoBoolean(text);
}
