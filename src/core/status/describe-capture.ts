// A capture as plain data for people and programs: texts and numbers, lists cut to what one can read.

import { type Cidr, formatCidr, formatIp } from "../address.ts";
import { familiesOf } from "../rules/families.ts";
import type { PodCapture } from "../rules/pod-capture.ts";
import type { CaptureStatus } from "./status-document.ts";

/** @param maxEntries of each list; an annotation may have a thousand, and a node has hundreds of pods. */
export function describeCapture(capture: PodCapture, maxEntries: number): CaptureStatus {
  let isAbridged = false;
  const cut = <T>(list: readonly T[]): readonly T[] => {
    if (list.length > maxEntries) isAbridged = true;
    return list.slice(0, maxEntries);
  };
  const select = <T>(
    { include, exclude }: { readonly include: "*" | readonly T[]; readonly exclude: readonly T[] },
    render: (entry: T) => string,
  ) => ({
    include: include === "*" ? ["*"] : cut(include).map(render),
    exclude: cut(exclude).map(render),
  });
  const families = familiesOf(capture).map((family) => `ipv${family}`);
  if (capture.mode === "ambient") {
    const status = {
      kind: "ambient",
      families,
      captureInbound: capture.captureInbound,
      dnsCapture: capture.captureDns,
      virtualInterfaces: cut(capture.virtualInterfaces),
      probeSources: [formatIp(capture.probeSource.v4), formatIp(capture.probeSource.v6)],
    } as const;
    return { ...status, isAbridged };
  }
  const status = {
    kind: "sidecar",
    mode: capture.mode,
    families,
    inboundPorts: select<number>(capture.inboundPorts, String),
    outboundPorts: select<number>(capture.outboundPorts, String),
    outboundRanges: select<Cidr>(capture.outboundIpRanges, formatCidr),
    ownerGroups: select<number>(capture.ownerGroups, String),
    excludeInterfaces: cut(capture.excludeInterfaces),
    virtualInterfaces: cut(capture.rerouteVirtualInterfaces),
    proxyUids: cut(capture.proxyUids),
    proxyGids: cut(capture.proxyGids),
    dnsCapture: capture.dnsCapture,
    dropInvalid: capture.dropInvalid,
    loopbackRange: formatCidr(capture.loopbackCidrV4),
  } as const;
  // Last, when every list has been looked at.
  return { ...status, isAbridged };
}
