// Captures as members of a JSON object and back. Addresses are written as text; what is read has passed the same bounds as
// what policy makes of annotations, because rules are made of it without another look.
import { type Cidr, formatCidr, formatIp, type IpAddress, parseCidr, parseIpAddress } from "../address.ts";
import type { AmbientCapture } from "../rules/ambient-capture.ts";
import { isInterfaceName } from "../rules/interface-name.ts";
import { MAX_OWNER_ID } from "../rules/model.ts";
import type { PodCapture } from "../rules/pod-capture.ts";
import { countGuestRules, MAX_GUEST_RULES, type SidecarCapture } from "../rules/sidecar-capture.ts";
import { DamagedRecordError, type RecordFields, wholeNumber } from "./record-fields.ts";

const MAX_PORT = 0xffff;

/** Plain data for JSON.stringify. */
export function renderCapture(capture: PodCapture): object {
  return capture.mode === "ambient" ? renderAmbient(capture) : renderSidecar(capture);
}

/** @throws {DamagedRecordError} */
export function readSidecarCapture(fields: RecordFields): SidecarCapture {
  const ranges = fields.object("outboundIpRanges");
  const inbound = fields.object("inboundPorts");
  const outbound = fields.object("outboundPorts");
  const groups = fields.object("ownerGroups");
  const loopbackCidrV4 = toCidr(fields.text("loopbackCidrV4", /^[0-9./]{1,18}$/));
  if (loopbackCidrV4?.family !== 4) throw new DamagedRecordError("capture.loopbackCidrV4 is no IPv4 prefix");
  const capture: SidecarCapture = {
    mode: fields.word("mode", ["REDIRECT", "TPROXY"]),
    outboundIpRanges: { include: ranges.listOrAll("include", toCidr), exclude: ranges.list("exclude", toCidr) },
    inboundPorts: { include: inbound.listOrAll("include", toPort), exclude: inbound.list("exclude", toPort) },
    outboundPorts: { include: outbound.list("include", toPort), exclude: outbound.list("exclude", toPort) },
    excludeInterfaces: fields.list("excludeInterfaces", toInterface),
    rerouteVirtualInterfaces: fields.list("rerouteVirtualInterfaces", toInterface),
    proxyUids: fields.list("proxyUids", toId),
    proxyGids: fields.list("proxyGids", toId),
    dnsCapture: fields.flag("dnsCapture"),
    dropInvalid: fields.flag("dropInvalid"),
    ownerGroups: { include: groups.listOrAll("include", toId), exclude: groups.list("exclude", toId) },
    loopbackCidrV4,
    families: readFamilies(fields),
  };
  if (countGuestRules(capture) > MAX_GUEST_RULES) throw new DamagedRecordError("capture has too many interfaces");
  return capture;
}

/** @throws {DamagedRecordError} */
export function readAmbientCapture(fields: RecordFields): AmbientCapture {
  const probes = fields.object("probeSource");
  const ip = (key: "v4" | "v6", family: 4 | 6): IpAddress => {
    const address = parseIpAddress(probes.text(key, /^[0-9a-f.:]{2,45}$/));
    if (address?.family !== family)
      throw new DamagedRecordError(`capture.probeSource.${key} is no IPv${family} address`);
    return address;
  };
  return {
    mode: fields.word("mode", ["ambient"]),
    families: readFamilies(fields),
    captureInbound: fields.flag("captureInbound"),
    captureDns: fields.flag("captureDns"),
    virtualInterfaces: fields.list("virtualInterfaces", toInterface),
    probeSource: { v4: ip("v4", 4), v6: ip("v6", 6) },
  };
}

/** Member by member, so that equal captures make equal text. */
function renderSidecar(capture: SidecarCapture): object {
  const { outboundIpRanges: ranges, inboundPorts, outboundPorts, ownerGroups, families } = capture;
  return {
    mode: capture.mode,
    outboundIpRanges: {
      include: ranges.include === "*" ? "*" : ranges.include.map(formatCidr),
      exclude: ranges.exclude.map(formatCidr),
    },
    inboundPorts: { include: inboundPorts.include, exclude: inboundPorts.exclude },
    outboundPorts: { include: outboundPorts.include, exclude: outboundPorts.exclude },
    excludeInterfaces: capture.excludeInterfaces,
    rerouteVirtualInterfaces: capture.rerouteVirtualInterfaces,
    proxyUids: capture.proxyUids,
    proxyGids: capture.proxyGids,
    dnsCapture: capture.dnsCapture,
    dropInvalid: capture.dropInvalid,
    ownerGroups: { include: ownerGroups.include, exclude: ownerGroups.exclude },
    loopbackCidrV4: formatCidr(capture.loopbackCidrV4),
    families: { v4: families.v4, v6: families.v6 },
  };
}

function renderAmbient({ families, probeSource, ...capture }: AmbientCapture): object {
  return {
    mode: capture.mode,
    families: { v4: families.v4, v6: families.v6 },
    captureInbound: capture.captureInbound,
    captureDns: capture.captureDns,
    virtualInterfaces: capture.virtualInterfaces,
    probeSource: { v4: formatIp(probeSource.v4), v6: formatIp(probeSource.v6) },
  };
}

function readFamilies(fields: RecordFields): { readonly v4: boolean; readonly v6: boolean } {
  const families = fields.object("families");
  const [v4, v6] = [families.flag("v4"), families.flag("v6")];
  if (!v4 && !v6) throw new DamagedRecordError("capture.families are none");
  return { v4, v6 };
}

const toCidr = (item: unknown): Cidr | undefined => (typeof item === "string" ? parseCidr(item) : undefined);
const toPort = (item: unknown): number | undefined => wholeNumber(item, 0, MAX_PORT);
const toId = (item: unknown): number | undefined => wholeNumber(item, 0, MAX_OWNER_ID);
const toInterface = (item: unknown): string | undefined =>
  typeof item === "string" && isInterfaceName(item) ? item : undefined;
