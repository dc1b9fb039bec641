// Reads the capture annotations of a pod (contract 5.1, 5.2). Every value becomes a number or an address here, so that
// nothing of an annotation's text can reach a rule (CVE-2026-23766). A bad value refuses the pod and says what is accepted.

import { type Cidr, parseCidr } from "../address.ts";
import { INTERFACE_NAME_ACCEPTED, isInterfaceName } from "../rules/interface-name.ts";
import {
  countGuestRules,
  DEFAULT_SIDECAR_CAPTURE,
  MAX_GUEST_RULES,
  PROXY_OWN_INBOUND_PORTS,
  type SidecarCapture,
} from "../rules/sidecar-capture.ts";
import { quoteText } from "../short-text.ts";

/** The annotations that change what is captured, spelled as istio.io/api spells them. */
export const CAPTURE_ANNOTATIONS = {
  interceptionMode: "sidecar.istio.io/interceptionMode",
  includeOutboundIpRanges: "traffic.sidecar.istio.io/includeOutboundIPRanges",
  excludeOutboundIpRanges: "traffic.sidecar.istio.io/excludeOutboundIPRanges",
  includeInboundPorts: "traffic.sidecar.istio.io/includeInboundPorts",
  excludeInboundPorts: "traffic.sidecar.istio.io/excludeInboundPorts",
  includeOutboundPorts: "traffic.sidecar.istio.io/includeOutboundPorts",
  excludeOutboundPorts: "traffic.sidecar.istio.io/excludeOutboundPorts",
  excludeInterfaces: "traffic.sidecar.istio.io/excludeInterfaces",
  rerouteVirtualInterfaces: "istio.io/reroute-virtual-interfaces",
  kubevirtInterfaces: "traffic.sidecar.istio.io/kubevirtInterfaces",
} as const;

/** A value nobody can act on. The message names annotation, value and what is accepted. */
export class AnnotationError extends Error {
  override readonly name = "AnnotationError";
  readonly annotation: string;

  constructor(annotation: string, value: string, accepted: string) {
    super(`Cannot read annotation ${annotation}: ${quoteText(value, 120)} is not accepted, it takes ${accepted}`);
    this.annotation = annotation;
  }
}

/** What the annotations say; the rest of the capture comes from containers and addresses. */
export type AnnotatedCapture = Pick<
  SidecarCapture,
  "outboundIpRanges" | "inboundPorts" | "outboundPorts" | "excludeInterfaces" | "rerouteVirtualInterfaces"
> & { readonly mode: SidecarCapture["mode"] | "NONE" };

type Annotations = Readonly<Record<string, string>>;

/** One annotation may list this many entries: it is what keeps a pod's batch within what the kernel takes at once. */
export const MAX_LIST_ENTRIES = 1024;

const PORTS_ACCEPTED = `port numbers from 0 to 65535 separated by commas, ${MAX_LIST_ENTRIES} at most`;
const RANGES_ACCEPTED = `IP ranges like 10.0.0.0/8 or fd00::/8 separated by commas, ${MAX_LIST_ENTRIES} at most`;
const INTERFACES_ACCEPTED = `interface names separated by commas, each of ${INTERFACE_NAME_ACCEPTED}`;
const GUESTS_ACCEPTED = `as many interfaces as make ${MAX_GUEST_RULES} rules with the ranges of ${CAPTURE_ANNOTATIONS.includeOutboundIpRanges}`;
const PORT = /^[0-9]{1,10}$/;

/** Reads all of them. Blanks around the entries of a list are allowed; an empty entry is not.
 * @throws {AnnotationError} at the first value that is not accepted. */
export function parseCaptureAnnotations(annotations: Annotations): AnnotatedCapture {
  const defaults = DEFAULT_SIDECAR_CAPTURE;
  const names = CAPTURE_ANNOTATIONS;
  const includeInbound = portsOrAll(annotations, names.includeInboundPorts) ?? defaults.inboundPorts.include;
  const excludeInbound = ports(annotations, names.excludeInboundPorts) ?? [];
  const virtual = Object.hasOwn(annotations, names.rerouteVirtualInterfaces)
    ? names.rerouteVirtualInterfaces
    : names.kubevirtInterfaces;
  const annotated: AnnotatedCapture = {
    mode: interceptionMode(annotations),
    outboundIpRanges: {
      include: rangesOrAll(annotations, names.includeOutboundIpRanges) ?? defaults.outboundIpRanges.include,
      exclude: ranges(annotations, names.excludeOutboundIpRanges) ?? defaults.outboundIpRanges.exclude,
    },
    inboundPorts: {
      include: includeInbound,
      exclude: [...new Set([...excludeInbound, ...PROXY_OWN_INBOUND_PORTS])],
    },
    outboundPorts: {
      include: ports(annotations, names.includeOutboundPorts) ?? defaults.outboundPorts.include,
      exclude: ports(annotations, names.excludeOutboundPorts) ?? defaults.outboundPorts.exclude,
    },
    excludeInterfaces: interfaces(annotations, names.excludeInterfaces),
    rerouteVirtualInterfaces: interfaces(annotations, virtual),
  };
  if (countGuestRules(annotated) > MAX_GUEST_RULES) {
    throw new AnnotationError(virtual, annotations[virtual] ?? "", GUESTS_ACCEPTED);
  }
  return annotated;
}

function interceptionMode(annotations: Annotations): AnnotatedCapture["mode"] {
  const name = CAPTURE_ANNOTATIONS.interceptionMode;
  const value = annotations[name];
  if (value === undefined) return DEFAULT_SIDECAR_CAPTURE.mode;
  if (value === "REDIRECT" || value === "TPROXY" || value === "NONE") return value;
  throw new AnnotationError(name, value, "REDIRECT, TPROXY or NONE");
}

function portsOrAll(annotations: Annotations, name: string): "*" | number[] | undefined {
  return annotations[name] === "*" ? "*" : ports(annotations, name, `* or ${PORTS_ACCEPTED}`);
}

function ports(annotations: Annotations, name: string, accepted = PORTS_ACCEPTED): number[] | undefined {
  return list(annotations, name, accepted, (entry) => {
    const port = PORT.test(entry) ? Number(entry) : Number.NaN;
    return port <= 65535 ? port : undefined;
  });
}

function rangesOrAll(annotations: Annotations, name: string): "*" | Cidr[] | undefined {
  return annotations[name] === "*" ? "*" : ranges(annotations, name, `* or ${RANGES_ACCEPTED}`);
}

function ranges(annotations: Annotations, name: string, accepted = RANGES_ACCEPTED): Cidr[] | undefined {
  return list(annotations, name, accepted, parseCidr);
}

function interfaces(annotations: Annotations, name: string): string[] {
  return list(annotations, name, INTERFACES_ACCEPTED, (entry) => (isInterfaceName(entry) ? entry : undefined)) ?? [];
}

/** Undefined when the annotation is absent; an annotation without a value is an empty list. */
function list<T>(
  annotations: Annotations,
  name: string,
  accepted: string,
  parse: (entry: string) => T | undefined,
): T[] | undefined {
  const value = annotations[name];
  if (value === undefined) return undefined;
  if (value.trim() === "") return [];
  const entries = value.split(",", MAX_LIST_ENTRIES + 1);
  if (entries.length > MAX_LIST_ENTRIES) throw new AnnotationError(name, value, accepted);
  return entries.map((entry) => {
    const parsed = parse(entry.trim());
    if (parsed === undefined) throw new AnnotationError(name, value, accepted);
    return parsed;
  });
}
