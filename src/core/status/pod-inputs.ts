// What the policies of both modes read of a pod, of its namespace and of the operator's settings, in the order in which that of
// sidecar mode decides (core/policy/sidecar-decision.ts); then what ambient mode goes by. Each name once. For people who ask why.

import { findNearMiss } from "../config/near-miss.ts";
import type { Container, Pod } from "../kube/pod.ts";
import type { EnablementLabel } from "../policy/enablement-selectors.ts";
import { CAPTURE_ANNOTATIONS } from "../policy/sidecar-annotations.ts";
import { INJECT_KEY, PROXY_FLAGS, type SidecarSettings, STATUS_ANNOTATION } from "../policy/sidecar-decision.ts";
import { cutText } from "../short-text.ts";
import type { PodExplanation } from "./status-document.ts";

type Inputs = PodExplanation["inputs"];

const MAX_VALUE = 300;
const MAX_UNKNOWN = 20;
/** Upstream's for what is captured: one that is not known there is a typing error, and nobody else says so. */
const CAPTURE_PREFIX = "traffic.sidecar.istio.io/";
const MODE_LABEL = "istio.io/dataplane-mode";

interface AmbientView {
  readonly mode: "sidecar" | "ambient";
  /** Those by which ambient mode's selectors go; none where that mode is off. */
  readonly enablement: readonly EnablementLabel[];
}

/** The annotations are the pod's of now; a decision made at its ADD was made with those of then. */
export function describeInputs(
  pod: Pod,
  { excludedNamespaces }: Pick<SidecarSettings, "excludedNamespaces">,
  { strictFamilies, mode, enablement }: AmbientView & { readonly strictFamilies: boolean },
): Inputs {
  const containers = [...pod.initContainers, ...pod.containers];
  const proxy = containers.findLast(({ name }) => name === "istio-proxy");
  const annotation = (key: string) => ({ name: `annotation ${key}`, value: cut(pod.annotations[key]) });
  const label = (key: string) => ({ name: `label ${key}`, value: cut(pod.labels[key]) });
  return [
    { name: "EXCLUDE_NAMESPACES", value: cut(excludedNamespaces.join(",") || undefined) },
    { name: "host network", value: String(pod.hostNetwork) },
    { name: "container istio-init", value: containers.some(({ name }) => name === "istio-init") ? "present" : null },
    { name: "container istio-proxy", value: proxy === undefined ? null : place(pod, proxy) },
    ...(proxy === undefined ? [] : describeProxy(proxy)),
    label(INJECT_KEY),
    annotation(INJECT_KEY),
    // A document of the injector's: that it is there is what counts.
    {
      name: `annotation ${STATUS_ANNOTATION}`,
      value: pod.annotations[STATUS_ANNOTATION] === undefined ? null : "present",
    },
    ...Object.values(CAPTURE_ANNOTATIONS)
      .filter((key) => pod.annotations[key] !== undefined)
      .map(annotation),
    ...describeUnknown(pod.annotations),
    { name: "AMBIENT_ENABLED", value: String(mode === "ambient") },
    ...(enablement.length > 0 ? enablement.map(describeLabel) : [label(MODE_LABEL)]),
    { name: "user namespace of its own", value: String(pod.hostUsers === false) },
    { name: "addresses", value: cut(pod.podIps.join(",") || undefined) },
    { name: "STRICT_FAMILIES", value: String(strictFamilies) },
    { name: "phase", value: cut(pod.phase || undefined) },
  ];
}

function describeLabel({ of, key, value, isKnown }: EnablementLabel): Inputs[number] {
  const name = cutText(`${of === "pod" ? "" : "namespace "}label ${key}`, MAX_VALUE);
  return { name, value: isKnown ? cut(value) : "not known yet" };
}

/** Annotations that nobody follows, with the one that was probably meant. */
function describeUnknown(annotations: Pod["annotations"]): Inputs {
  const known: readonly string[] = Object.values(CAPTURE_ANNOTATIONS);
  return Object.entries(annotations)
    .filter(([key]) => key.startsWith(CAPTURE_PREFIX) && !known.includes(key))
    .slice(0, MAX_UNKNOWN)
    .map(([key]) => {
      const near = findNearMiss(key, known);
      return {
        name: cutText(`annotation ${key}`, MAX_VALUE),
        value: `not known, ignored${near === undefined ? "" : `; did you mean ${near}?`}`,
      };
    });
}

function describeProxy(proxy: Container): Inputs {
  return [
    { name: "istio-proxy arguments", value: cut(proxy.args.slice(0, 2).join(" ") || undefined) },
    { name: "istio-proxy DISABLE_ENVOY", value: cut(proxy.env["DISABLE_ENVOY"]) },
    { name: "istio-proxy user and group", value: `${proxy.runAsUser ?? "default"}:${proxy.runAsGroup ?? "default"}` },
    ...[PROXY_FLAGS.dualStack, PROXY_FLAGS.dnsCapture, PROXY_FLAGS.dropInvalid].map((name) => ({
      name: `istio-proxy ${name}`,
      value: cut(proxy.env[name]),
    })),
  ];
}

function place(pod: Pod, proxy: Container): string {
  return pod.initContainers.includes(proxy) ? "init container (native sidecar)" : "container";
}

function cut(value: string | undefined): string | null {
  return value === undefined ? null : cutText(value, MAX_VALUE);
}
