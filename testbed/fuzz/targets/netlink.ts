/** Targets: what a kernel answers on netlink sockets (core/netlink), rules of nf_tables apart (nft.ts). */

import type { Cidr, IpAddress } from "../../../src/core/address.ts";
import { parseIpAddress } from "../../../src/core/address.ts";
import { joinBytes } from "../../../src/core/join-bytes.ts";
import { decodeAddresses } from "../../../src/core/netlink/addresses.ts";
import { decodeTcpConnections } from "../../../src/core/netlink/inet-diag.ts";
import { decodeIndex, encodeIndexRequest } from "../../../src/core/netlink/ip-set-index.ts";
import { encodeIpsetAdd, encodeIpsetCreate, IPSET_CMD } from "../../../src/core/netlink/ipset.ts";
import { decodeIpset } from "../../../src/core/netlink/ipset-dump.ts";
import { decodeLoopbackHasIpv6 } from "../../../src/core/netlink/loopback-ipv6.ts";
import { parseRaiseLoopback } from "../../../src/core/netlink/loopback-up.ts";
import { NetlinkFormatError, parseMessages } from "../../../src/core/netlink/message.ts";
import {
  decodeGeneration,
  describeRefused,
  encodeGetGeneration,
  parseBatchOutcome,
} from "../../../src/core/netlink/nfnetlink.ts";
import { encodeAddPodNetwork, parseNetworkOutcome } from "../../../src/core/netlink/pod-network.ts";
import { decodeLocalRoutes, decodePolicyRules } from "../../../src/core/netlink/policy-routing.ts";
import { KernelRefusalError, parseReplies } from "../../../src/core/netlink/reply.ts";
import { decodeRouteLookup, encodeRouteLookup } from "../../../src/core/netlink/route-lookup.ts";
import { RTM } from "../../../src/core/netlink/rtnetlink.ts";
import {
  decodeHostRoutes,
  decodeLinkNames,
  decodeSteeringRules,
  encodeAddSteeringRule,
} from "../../../src/core/netlink/steering-rules.ts";
import { NetlinkWriter } from "../../../src/core/netlink/writer.ts";
import { ambientNetwork } from "../../../src/core/rules/ambient-pod.ts";
import { DEFAULT_AMBIENT_CAPTURE } from "../../ambient/ambient-cases.ts";
import { createTarget, type FuzzTarget } from "../fuzz-target.ts";
import { mutateNetlink } from "../mutate-netlink.ts";
import { holds } from "../oracle.ts";

const DECLARED = [NetlinkFormatError, KernelRefusalError];
const V4 = address("10.0.0.5");
const V6 = address("fd00::5");

function address(text: string): IpAddress {
  const ip = parseIpAddress(text);
  if (ip === undefined) throw new TypeError(`Cannot begin: ${text} is no address`);
  return ip;
}

/** A message of that type: `fixed` bytes, then attributes. */
function message(
  type: number,
  fixed: readonly number[],
  attributes: (writer: NetlinkWriter) => void = () => {},
): Uint8Array {
  const writer = new NetlinkWriter();
  writer.message({ type, flags: 2, sequence: 1 }, () => {
    writer.raw(Uint8Array.from(fixed));
    attributes(writer);
  });
  return writer.finish().slice();
}

const DONE = message(3, [0, 0, 0, 0]);
const ERROR = message(2, [0xef, 0xff, 0xff, 0xff, 20, 0, 0, 0, 20, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
const ACK = message(2, new Array<number>(20).fill(0));
/** With the request and the kernel's own words. */
const TOLD = (() => {
  const told = message(2, [0xea, 0xff, 0xff, 0xff, 16, 0, 0, 0, 32, 0, 5, 6, 1, 0, 0, 0, 0, 0, 0, 0], (writer) => {
    writer.attributeString(1, "no such thing");
    writer.attributeU32(2, 20);
  });
  told[6] = 0x00;
  told[7] = 0x03;
  return told;
})();
const ROUTE_HEADER = [2, 32, 0, 0, 254, 3, 254, 2, 0, 0, 0, 0];

const POD_NETWORK = encodeAddPodNetwork(ambientNetwork(DEFAULT_AMBIENT_CAPTURE)) ?? new Uint8Array();
const STEERING = encodeAddSteeringRule({
  family: 4,
  to: { ...V4, prefixLength: 32 },
  iif: "vlan1",
  table: 101,
  priority: 512,
  protocol: 0,
});
const ROUTE = message(RTM.NEWROUTE, ROUTE_HEADER, (writer) => {
  writer.attributeBytes(1, V4.bytes);
  writer.attributeU32(4, 2);
  writer.attributeBytes(7, V4.bytes);
  writer.attributeU32(15, 254);
});
const LINK = message(RTM.NEWLINK, new Array<number>(16).fill(1), (writer) => {
  writer.attributeString(3, "lo");
  writer.nested(26, () => writer.nested(10, () => writer.attributeBytes(2, new Uint8Array(4 * 60))));
});
const DIAG = message(20, [2, 1, ...new Array<number>(70).fill(1)]);

/** Cidrs that the product goes on with have the bytes of their family and a length that fits. */
function isWhole({ family, bytes, prefixLength }: Cidr): boolean {
  return bytes.length === (family === 4 ? 4 : 16) && prefixLength <= bytes.length * 8;
}

const replies = createTarget(
  {
    name: "netlink-replies",
    parsers: [
      "core/netlink/message.ts",
      "core/netlink/reply.ts",
      "core/netlink/nfnetlink.ts",
      "core/netlink/pod-network.ts",
      "core/netlink/loopback-up.ts",
    ],
    mutators: [mutateNetlink],
    words: ["\0\0\0\0", "\x01\0\0\0"],
    seeds: [ACK, ERROR, TOLD, joinBytes([ACK, ERROR, DONE]), encodeGetGeneration()],
  },
  DECLARED,
  (input) => {
    const read = parseReplies(input);
    for (const reply of read) holds(reply.kind !== "refused" || reply.errno > 0, "The number of a refusal is positive");
    parseRaiseLoopback([input]);
    const outcome = parseBatchOutcome([input]);
    for (const refusal of outcome?.kind === "refused" ? outcome.refusals : []) describeRefused(input, refusal);
    return [read, outcome?.kind, parseNetworkOutcome([input]).kind];
  },
);

const generation = createTarget(
  {
    name: "netlink-generation",
    parsers: ["core/netlink/nfnetlink.ts", "core/netlink/ip-set-index.ts"],
    mutators: [mutateNetlink],
    words: ["\0\0\0\x01"],
    seeds: [message(0xa0f, [0, 0, 0, 0], (writer) => writer.attributeU32be(1, 7)), encodeIndexRequest("a")],
  },
  DECLARED,
  (input) => {
    const index = decodeIndex(input);
    holds(index === undefined || (index >= 0 && index < 0xffff), "The number of a set has 16 bits");
    return decodeGeneration(input);
  },
);

const routing = createTarget(
  {
    name: "netlink-routing",
    parsers: ["core/netlink/addresses.ts", "core/netlink/policy-routing.ts", "core/netlink/steering-rules.ts"],
    mutators: [mutateNetlink],
    words: ["\0\0\0\0", "eth0\0", "\x0a\0\0\x05"],
    seeds: [
      joinBytes([POD_NETWORK, DONE]),
      joinBytes([STEERING, DONE]),
      joinBytes([ROUTE, LINK, DONE]),
      joinBytes([POD_NETWORK, STEERING, ROUTE, DONE]),
    ],
  },
  DECLARED,
  (input) => {
    const messages = parseMessages(input);
    const steering = decodeSteeringRules(messages);
    const hostRoutes = decodeHostRoutes(messages);
    const names = decodeLinkNames(messages);
    const addresses = decodeAddresses([input]);
    const rules = decodePolicyRules([input]);
    const routes = decodeLocalRoutes([input]);
    holds(
      steering.every(({ to }) => to === undefined || isWhole(to)),
      "Where a rule leads is a prefix of its family",
    );
    holds(
      hostRoutes.every(({ destination }) => isWhole(destination)),
      "Where a route leads is a prefix of its family",
    );
    holds(
      routes.routes.every(({ destination }) => isWhole(destination)),
      "Where a local route leads is a prefix of its family",
    );
    holds(
      addresses.addresses.every(({ ip, prefixLength }) => isWhole({ ...ip, prefixLength })),
      "An address has a length that fits",
    );
    return { steering, hostRoutes, names, addresses, rules, routes };
  },
);

const lookup = createTarget(
  {
    name: "netlink-lookup",
    parsers: ["core/netlink/route-lookup.ts", "core/netlink/loopback-ipv6.ts", "core/netlink/inet-diag.ts"],
    mutators: [mutateNetlink],
    words: ["\0\0\0\0"],
    seeds: [ROUTE, LINK, joinBytes([DIAG, DONE]), encodeRouteLookup({ destination: V6, source: V6, mark: 1, uid: 0 })],
  },
  DECLARED,
  (input) => {
    const first = parseMessages(input)[0]?.type;
    if (first === RTM.NEWLINK) return decodeLoopbackHasIpv6([input]);
    if (first === RTM.NEWROUTE) return decodeRouteLookup([input]);
    return [decodeTcpConnections(4, [input]), decodeTcpConnections(6, [input])];
  },
);

function asAnswer(request: Uint8Array): Uint8Array {
  const answer = request.slice();
  new DataView(answer.buffer).setUint16(4, IPSET_CMD.LIST, true);
  return answer;
}

const ipset = createTarget(
  {
    name: "netlink-ipset",
    parsers: ["core/netlink/ipset-dump.ts"],
    mutators: [mutateNetlink],
    words: ["hash:ip\0", "\x02", "\x0a", "\0\0\0\x10"],
    seeds: [
      joinBytes([
        asAnswer(encodeIpsetCreate("a", 4)),
        ...encodeIpsetAdd("a", [
          { ip: V4, comment: "uid" },
          { ip: V6, comment: "" },
        ]).map(asAnswer),
      ]),
    ],
  },
  DECLARED,
  (input) => {
    const messages = parseMessages(input);
    const held = decodeIpset(messages);
    for (const { ip } of held?.entries ?? [])
      holds(ip.bytes.length === (ip.family === 4 ? 4 : 16), "An entry has the bytes of its family");
    return held;
  },
);

export const NETLINK_TARGETS: readonly FuzzTarget[] = [replies, generation, routing, lookup, ipset];
