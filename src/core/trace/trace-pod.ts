// Follows one packet through what a pod's namespace holds, and says where it ends: the part of a trace that decides. Where
// anything on the way is not known the verdict is "unknown" and says what; nothing is guessed.

import { formatIp, type IpAddress, isLoopback, isSameIp } from "../address.ts";
import type { DeviceChain } from "../netlink/held-rules.ts";
import type { RouteAnswer, RouteQuestion } from "../netlink/route-lookup.ts";
import { addressesInUse } from "../policy/capture-families.ts";
import type { Packet } from "../rules/match-packet.ts";
import type { Ruleset } from "../rules/model.ts";
import type { PodCapture } from "../rules/pod-capture.ts";
import { SIDECAR_PORTS } from "../rules/sidecar-capture.ts";
import { TraceError, type TraceStep, trace } from "../rules/tracer.ts";
import { describeSteps, type StepWords, wantedRules } from "./describe-steps.ts";
import type { TraceDocument } from "./trace-document.ts";
import type { TraceQuery } from "./trace-query.ts";

/** What the namespace holds, and how its kernel routes; read by agent/netfilter/netns-picture.ts. */
export interface TracedNetns {
  readonly rulesets: readonly Ruleset[];
  readonly deviceChains: readonly DeviceChain[];
  /** Rules that stand there and could not be read, as a clause; undefined: none. */
  readonly unread: string | undefined;
  readonly addresses: readonly { readonly ip: IpAddress; readonly interfaceIndex: number }[];
  readonly interfaces: ReadonlyMap<number, string>;
  route(question: RouteQuestion): RouteAnswer;
}

export type PodTrace = Pick<TraceDocument, "packet" | "verdict" | "how" | "port" | "explanation" | "mark"> & StepWords;

/** The namespace has no address for such a packet. */
export type NoSuchPacket = { readonly problem: string };

/** Where the orders of chains differ that the kernel may have, so many are tried. */
const MAX_ORDERS = 12;
const LISTENERS: ReadonlyMap<number, string> = new Map([
  [SIDECAR_PORTS.outbound, "where the proxy takes what the pod sends"],
  [SIDECAR_PORTS.inbound, "where the proxy takes what comes in"],
  [SIDECAR_PORTS.tunnel, "where the proxy takes HBONE"],
  [SIDECAR_PORTS.dns, "where the proxy answers DNS"],
]);

/** @param capture what this pod should have, for the words; undefined: nothing, as far as is known. */
export function tracePod(
  query: TraceQuery,
  netns: TracedNetns,
  capture: PodCapture | undefined,
): PodTrace | NoSuchPacket {
  const way = query.direction === "outbound" ? wayOut(query, netns) : wayIn(query, netns);
  if ("problem" in way) return way;
  const { packet, route } = way;
  const told = (
    verdict: PodTrace["verdict"],
    explanation: string,
    steps: readonly TraceStep[] = [],
    mark = packet.mark ?? 0,
  ): PodTrace => ({
    packet: describePacket(query, packet),
    verdict,
    how: null,
    port: null,
    explanation,
    mark,
    ...describeSteps(steps, capture === undefined ? new Map() : wantedRules(capture)),
  });
  if (route?.kind === "none") return told("dropped", noWay(packet, route.errno));
  const device = netns.deviceChains.find(({ direction }) => direction === query.direction);
  if (device !== undefined) {
    return told(
      "unknown",
      `Chain ${device.chain} of table ${device.table} meets the packet at its interface, and what it does is not read`,
    );
  }
  if (netns.unread !== undefined) return told("unknown", `Not all rules could be read: ${netns.unread}`);
  const walks = ordersOf(netns.rulesets).map((rulesets) => walk(rulesets, packet, query, netns));
  const [first] = walks;
  if (first === undefined) return told("passed", passes(query, packet));
  const other = walks.find((candidate) => candidate.end !== first.end);
  if (other !== undefined) {
    const detail = `it ends as "${first.end}" or as "${other.end}", by the order of chains of the same priority, which the kernel does not tell`;
    return told("unknown", `Two sets of rules meet the packet: ${detail}`, first.steps);
  }
  const { result, steps } = first;
  if (result instanceof TraceError) {
    const { place, detail } = result;
    return told(
      "unknown",
      `Chain ${place.chain} of table ${place.table} decides on the packet by something that cannot be read: ${detail}`,
      steps,
    );
  }
  const { end, mark } = result;
  if (end.kind === "dropped") return told("dropped", drops(steps), steps, mark);
  if (end.kind === "untouched") return told("passed", passes(query, packet), steps, mark);
  const how = end.kind === "redirected" ? "REDIRECT" : "TPROXY";
  const listener = LISTENERS.get(end.port);
  const explanation = `It is redirected to port ${end.port} of the pod${listener === undefined ? "" : `, ${listener}`}`;
  return { ...told("redirected", explanation, steps, mark), how, port: end.port };
}

type Walk = {
  readonly end: string;
  readonly result: ReturnType<typeof trace> | TraceError;
  readonly steps: readonly TraceStep[];
};

function walk(rulesets: readonly Ruleset[], packet: Packet, { direction }: TraceQuery, netns: TracedNetns): Walk {
  const reroute = (mark: number): string | undefined => {
    const answer = netns.route({
      destination: packet.destination,
      source: packet.source,
      mark,
      uid: packet.owner?.uid ?? 0,
    });
    return answer.kind === "none" ? undefined : interfaceOf(answer, netns);
  };
  try {
    const result = trace(rulesets, packet, direction, { reroute });
    const { end, mark } = result;
    const text = "port" in end ? `${end.kind} to ${end.port}` : end.kind;
    return {
      end: mark === (packet.mark ?? 0) ? text : `${text}, mark 0x${mark.toString(16)}`,
      result,
      steps: result.steps,
    };
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    return { end: error.message, result: error, steps: error.steps };
  }
}

/** The kernel runs chains of one priority in the order in which they were attached, which it does not tell: every table first
 * once, in both directions. For up to three tables these are all orders. */
function ordersOf(rulesets: readonly Ruleset[]): (readonly Ruleset[])[] {
  const single = rulesets.flatMap(({ family, tables }) =>
    tables.map((table): Ruleset => ({ family, tables: [table] })),
  );
  const attached = single.filter(({ tables }) =>
    tables.some(({ chains }) => chains.some(({ kind }) => kind === "base")),
  );
  const turned = attached.map((_, at) => [...attached.slice(at), ...attached.slice(0, at)]).slice(0, MAX_ORDERS / 2);
  return turned.length < 2 ? [attached] : [...turned, ...turned.map((order) => order.toReversed())];
}

type Way = { readonly packet: Packet; readonly route: RouteAnswer | undefined };

function wayOut(query: Extract<TraceQuery, { direction: "outbound" }>, netns: TracedNetns): Way | NoSuchPacket {
  const { destination, owner, mark, protocol, sport, dport } = query;
  const question = { destination, mark, uid: owner.uid };
  const route = netns.route(query.source === undefined ? question : { ...question, source: query.source });
  const known =
    route.kind === "none" ? undefined : (route.source ?? sourceOn(route.interfaceIndex, query.family, netns));
  const source = query.source ?? known;
  if (route.kind !== "none" && source === undefined) {
    return {
      problem: `the kernel tells no address from which it would send to ${formatIp(destination)}; accepted: --from IP`,
    };
  }
  const unspecified: IpAddress = { family: query.family, bytes: new Uint8Array(destination.bytes.length) };
  const by = route.kind === "none" ? "" : interfaceOf(route, netns);
  return {
    route,
    packet: { protocol, source: source ?? unspecified, destination, sport, dport, interface: by, owner, mark },
  };
}

/** What comes in comes by the interface that has the address. */
function wayIn(query: Extract<TraceQuery, { direction: "inbound" }>, netns: TracedNetns): Way | NoSuchPacket {
  const { source, protocol, sport, dport, family } = query;
  const mine = netns.addresses.filter(({ ip }) => ip.family === family && !isLoopback(ip));
  const usable = addressesInUse(mine.map(({ ip }) => ip));
  const destination = query.destination ?? usable[0];
  const at = destination === undefined ? undefined : mine.find(({ ip }) => isSameIp(ip, destination));
  if (destination === undefined) return { problem: `the pod has no IPv${family} address` };
  if (at === undefined) {
    const has = mine
      .map(({ ip }) => formatIp(ip))
      .slice(0, 8)
      .join(", ");
    return { problem: `${formatIp(destination)} is no address of the pod; it has ${has || "none of that family"}` };
  }
  if (mine.some(({ ip }) => isSameIp(ip, source)) || isLoopback(source)) {
    return {
      problem: `${formatIp(source)} is the pod itself, and what it sends to itself does not come in; accepted: --to`,
    };
  }
  const by = netns.interfaces.get(at.interfaceIndex) ?? `interface ${at.interfaceIndex}`;
  return { route: undefined, packet: { protocol, source, destination, sport, dport, interface: by } };
}

function sourceOn(interfaceIndex: number, family: 4 | 6, { addresses }: TracedNetns): IpAddress | undefined {
  return addresses.find((one) => one.interfaceIndex === interfaceIndex && one.ip.family === family)?.ip;
}

/** To itself a namespace sends by `lo`, whatever interface has the address. */
function interfaceOf(route: Exclude<RouteAnswer, { kind: "none" }>, { interfaces }: TracedNetns): string {
  return route.kind === "local" ? "lo" : (interfaces.get(route.interfaceIndex) ?? `interface ${route.interfaceIndex}`);
}

function describePacket({ direction, family }: TraceQuery, packet: Packet): PodTrace["packet"] {
  return {
    direction,
    family: `ipv${family}`,
    protocol: packet.protocol,
    source: formatIp(packet.source),
    sourcePort: packet.sport,
    destination: formatIp(packet.destination),
    destinationPort: packet.dport,
    interface: packet.interface === "" ? null : packet.interface,
    uid: packet.owner?.uid ?? null,
    gid: packet.owner?.gid ?? null,
    mark: packet.mark ?? 0,
  };
}

function noWay({ destination }: Packet, errno: number): string {
  const detail = errno === 0 ? "a route that leads nowhere" : `errno ${errno}`;
  return `The kernel knows no way from here to ${formatIp(destination)} (${detail}), so no packet is sent`;
}

function passes({ direction }: TraceQuery, packet: Packet): string {
  if (direction === "inbound") return `It reaches port ${packet.dport} of the pod as it came: no rule redirects it`;
  if (packet.interface === "lo")
    return `It reaches port ${packet.dport} of the pod itself as it was sent: no rule redirects it`;
  return `It leaves the pod by ${packet.interface} as it was sent: no rule redirects it`;
}

function drops(steps: readonly TraceStep[]): string {
  const last = steps.at(-1);
  if (last === undefined) return "It is dropped";
  const where = `chain ${last.chain} of table ${last.table}`;
  if (last.what.kind === "policy") return `It is dropped by the policy of ${where}`;
  return last.what.kind === "no-route"
    ? `It is dropped: the kernel knows no way for the mark that ${where} gave it`
    : `It is dropped in ${where}`;
}
