// Where packets of ambient pods land, written by hand from contract 7.6 and ztunnel's part of it: in both dialects and
// families, with the answers of connections and the routes their marks choose.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AMBIENT_CASES, DEFAULT_AMBIENT_CAPTURE } from "../../../testbed/ambient/ambient-cases.ts";
import { FAMILIES, type Family, formatIp, parseIpAddress } from "../address.ts";
import { ambientHostInetRules, ambientHostRules } from "./ambient-host.ts";
import { DEFAULT_PROBE_SOURCE, PROBE_SETS } from "./ambient-numbers.ts";
import { ambientInetRules, ambientNetwork, ambientRules } from "./ambient-pod.ts";
import { and, type Packet } from "./match-packet.ts";
import type { PodNetwork, PolicyRule, Ruleset } from "./model.ts";
import { type Trace, TraceError, trace } from "./tracer.ts";

type Sent = Partial<Omit<Packet, "source" | "destination">> & {
  from?: Record<Family, string>;
  to?: Record<Family, string>;
};
type Row = [name: string, direction: "inbound" | "outbound", sent: Sent, end: string, zone?: number];

const DIALECTS = { "iptables-nft": ambientRules, nftables: ambientInetRules };
const POD = { 4: "10.1.0.7", 6: "fd00:1::7" } as const;
const PEER = { 4: "10.2.0.9", 6: "fd00:2::9" } as const;
const LOOPBACK = { 4: "127.0.0.1", 6: "::1" } as const;
const OTHER_LOOPBACK = { 4: "127.0.0.9", 6: "::9" } as const;
const PROBE = { 4: formatIp(DEFAULT_PROBE_SOURCE.v4), 6: formatIp(DEFAULT_PROBE_SOURCE.v6) } as const;

const ZTUNNEL_MARK = 1337;
const RETURN_MARK = 0x111;
const UDP = "udp" as const;
const TO_POD: Sent = { from: PEER, to: POD, dport: 8080 };
const TO_PEER: Sent = { from: POD, to: PEER, dport: 9000 };
const DNS: Sent = { ...TO_PEER, dport: 53 };
const FROM_GUEST: Sent = { ...TO_POD, interface: "vnet0" };

const ROWS: Row[] = [
  // What comes in: plain text to ztunnel, HBONE by itself, probes past it; UDP is nobody's business.
  ["default", "inbound", TO_POD, "redirected 15006"],
  ["default", "inbound", { ...TO_POD, dport: 15008 }, "untouched"],
  ["default", "inbound", { ...TO_POD, dport: 15001 }, "redirected 15006"],
  ["default", "inbound", { ...TO_POD, from: PROBE }, "untouched"],
  ["default", "inbound", { ...TO_POD, protocol: UDP }, "untouched"],
  ["default", "inbound", { ...TO_POD, to: LOOPBACK }, "untouched"],
  // Only the low bits of a mark are the mesh's: a CNI's own bits above make no difference.
  ["default", "inbound", { ...TO_POD, mark: 0x7000_0000 }, "redirected 15006"],
  ["default", "inbound", { ...TO_POD, mark: 0x7000_0000 | ZTUNNEL_MARK }, "untouched"],
  // What goes out: all TCP but ztunnel's, what is for the pod itself, and what answers probes.
  ["default", "outbound", TO_PEER, "redirected 15001"],
  ["default", "outbound", { ...TO_PEER, owner: { uid: 0, gid: 0 } }, "redirected 15001"],
  ["default", "outbound", { ...TO_PEER, dport: 15008 }, "redirected 15001"],
  ["default", "outbound", { ...TO_PEER, mark: ZTUNNEL_MARK }, "untouched"],
  ["default", "outbound", { ...TO_PEER, mark: 0x4_0000 | ZTUNNEL_MARK }, "untouched"],
  ["default", "outbound", { ...TO_PEER, mark: RETURN_MARK }, "untouched"],
  ["default", "outbound", { ...TO_PEER, mark: 0x338 }, "redirected 15001"],
  ["default", "outbound", { ...TO_PEER, protocol: UDP }, "untouched"],
  ["default", "outbound", { ...TO_PEER, to: PROBE }, "untouched"],
  ["default", "outbound", { ...TO_PEER, to: POD, interface: "lo" }, "untouched"],
  ["default", "outbound", { ...TO_PEER, to: LOOPBACK, interface: "lo" }, "untouched"],
  ["default", "outbound", { ...TO_PEER, to: OTHER_LOOPBACK, interface: "lo" }, "untouched"],
  // ztunnel to the application, under the client's address or the pod's own.
  ["default", "outbound", { ...TO_PEER, from: PEER, to: POD, interface: "lo", mark: ZTUNNEL_MARK }, "untouched"],
  // DNS is left alone until it is asked for, and then only ztunnel asks the resolvers.
  ["default", "outbound", { ...DNS, protocol: UDP }, "untouched", 0],
  ["default", "outbound", DNS, "redirected 15001"],
  ["dns", "outbound", { ...DNS, protocol: UDP }, "redirected 15053", 0],
  ["dns", "outbound", DNS, "redirected 15053"],
  ["dns", "outbound", { ...DNS, protocol: UDP, mark: ZTUNNEL_MARK }, "untouched", 1],
  ["dns", "outbound", { ...DNS, mark: ZTUNNEL_MARK }, "untouched", 0],
  ["dns", "outbound", { ...DNS, protocol: UDP, to: LOOPBACK, interface: "lo" }, "untouched", 0],
  ["dns", "outbound", { ...DNS, to: LOOPBACK, interface: "lo" }, "untouched"],
  ["dns", "outbound", { ...DNS, to: OTHER_LOOPBACK, interface: "lo" }, "redirected 15053"],
  ["dns", "inbound", { ...TO_POD, protocol: UDP, sport: 53 }, "untouched", 1],
  ["dns", "inbound", { ...TO_POD, protocol: UDP, dport: 53 }, "untouched", 0],
  ["default", "inbound", { ...TO_POD, protocol: UDP, sport: 53 }, "untouched", 0],
  // Inbound traffic past ztunnel: HBONE goes on arriving, what leaves is captured as ever.
  ["bypass", "inbound", TO_POD, "untouched"],
  ["bypass", "inbound", { ...TO_POD, dport: 15008 }, "untouched"],
  ["bypass", "outbound", TO_PEER, "redirected 15001"],
  ["bypass-dns", "outbound", { ...DNS, protocol: UDP }, "redirected 15053"],
  // A guest's traffic leaves the pod, it does not come in: also with inbound traffic past ztunnel.
  ["default", "inbound", FROM_GUEST, "redirected 15006"],
  ["interfaces", "inbound", FROM_GUEST, "redirected 15001"],
  ["interfaces", "inbound", { ...FROM_GUEST, interface: "k6t-eth0.1" }, "redirected 15001"],
  ["interfaces", "inbound", { ...FROM_GUEST, interface: "vnet01" }, "redirected 15006"],
  ["interfaces", "inbound", { ...FROM_GUEST, dport: 15008 }, "redirected 15001"],
  ["interfaces", "inbound", { ...FROM_GUEST, protocol: UDP }, "untouched"],
  ["interfaces", "inbound", TO_POD, "redirected 15006"],
  ["bypass-interfaces", "inbound", FROM_GUEST, "redirected 15001"],
  ["bypass-interfaces", "inbound", TO_POD, "untouched"],
];

for (const [dialect, rulesFor] of Object.entries(DIALECTS)) {
  for (const family of FAMILIES) {
    test(`${dialect}, IPv${family}: every packet lands where the contract says`, () => {
      for (const [name, direction, sent, end, zone] of ROWS) {
        const rulesets = rulesFor(AMBIENT_CASES[name] ?? assert.fail(name));
        const found = trace(rulesets, packet(sent, family, direction), direction);
        const landed = "port" in found.end ? `${found.end.kind} ${found.end.port}` : found.end.kind;
        const what = `${name} ${direction} ${JSON.stringify(sent)}\n${found.path.join("\n")}`;
        assert.equal(landed, end, what);
        if (zone !== undefined) assert.equal(found.zone, zone, what);
      }
    });

    test(`${dialect}, IPv${family}: the application's answers to ztunnel go back to it by route, those to others do not`, () => {
      for (const [name, capture] of Object.entries(AMBIENT_CASES)) {
        const isCaptured = family === 4 ? capture.families.v4 : capture.families.v6;
        if (!isCaptured) continue;
        const [rulesets, network] = [rulesFor(capture), ambientNetwork(capture)];
        const answerTo = (sent: Sent) => {
          const asked = packet({ ...sent, from: PEER, to: POD, dport: 8080 }, family, "inbound");
          // ztunnel's packet comes in by lo, where nat was decided when it was sent.
          const first = trace(rulesets, { ...asked, ctstate: "NEW" }, "inbound");
          return traceAnswer(rulesets, asked, first, "outbound", { interface: "eth0" });
        };
        const toZtunnel = answerTo({ interface: "lo", mark: 0x5000_0000 | ZTUNNEL_MARK });
        assert.equal(toZtunnel.mark & 0xfff, RETURN_MARK, name);
        assert.deepEqual(toZtunnel.end, { kind: "untouched" });
        const rule = policyRuleFor(network, family, toZtunnel.mark);
        assert.deepEqual([rule?.table, rule?.priority], [100, 32764], name);
        const toPeer = answerTo({ mark: 0 });
        assert.equal(toPeer.mark, 0, name);
        assert.equal(policyRuleFor(network, family, toPeer.mark), undefined, name);
      }
    });
  }
}

test("a family that is not captured is not touched, in either dialect", () => {
  for (const [name, family] of [
    ["v4-all", 6],
    ["v6-all", 4],
  ] as const) {
    const capture = AMBIENT_CASES[name] ?? assert.fail(name);
    for (const rulesFor of Object.values(DIALECTS)) {
      for (const [, direction, sent] of ROWS) {
        const found = trace(rulesFor(capture), packet(sent, family, direction), direction);
        assert.deepEqual(found.end, { kind: "untouched" }, `${name} IPv${family} ${JSON.stringify(sent)}`);
      }
      assert.equal(policyRuleFor(ambientNetwork(capture), family, RETURN_MARK), undefined);
    }
  }
});

test("both dialects do the same to any packet of any ambient pod", () => {
  const anyPacket = fc.constantFrom(...FAMILIES).chain((family) => {
    const places = [POD, PEER, LOOPBACK, OTHER_LOOPBACK, PROBE].map((place) => address(place[family]));
    return fc.record({
      protocol: fc.constantFrom("tcp" as const, UDP),
      source: fc.constantFrom(...places),
      destination: fc.constantFrom(...places),
      sport: fc.constantFrom(33_333, 53, 15_053),
      dport: fc.constantFrom(8080, 53, 15_001, 15_006, 15_008, 15_053),
      interface: fc.constantFrom("eth0", "lo", "vnet0"),
      mark: fc.constantFrom(0, ZTUNNEL_MARK, RETURN_MARK, 0xffff_0000, 0x8000_0000 + ZTUNNEL_MARK),
      connmark: fc.constantFrom(0, RETURN_MARK, 0xabc0_0000 + RETURN_MARK),
      ctstate: fc.constantFrom("NEW" as const, "ESTABLISHED" as const),
    });
  });
  const anyCapture = fc.constantFrom(
    ...Object.values(AMBIENT_CASES).filter(({ families }) => families.v4 && families.v6),
  );
  const direction = fc.constantFrom("inbound" as const, "outbound" as const);
  fc.assert(
    fc.property(anyCapture, anyPacket, direction, (capture, sent, way) => {
      const [iptables, native] = Object.values(DIALECTS).map((rulesFor) => {
        const { path: _, steps: _steps, ...result } = trace(rulesFor(capture), sent, way);
        return result;
      });
      assert.deepEqual(iptables, native);
    }),
    { numRuns: 1000 },
  );
});

test("the host gives the probe source to what its own processes send to enrolled pods, and to nothing else", () => {
  const host = { families: { v4: true, v6: true }, probeSource: DEFAULT_PROBE_SOURCE };
  const enrolled = (pod: Record<Family, string>) =>
    new Map(FAMILIES.map((family) => [PROBE_SETS[family], [address(pod[family])]]));
  const NODE = { 4: "10.1.0.1", 6: "fd00:1::1" } as const;
  const KUBELET = { uid: 0, gid: 0 };
  const OTHER = { uid: 1000, gid: 1000 };
  for (const family of FAMILIES) {
    const probe = packet({ from: NODE, to: POD, dport: 8080, interface: "cni0", owner: KUBELET }, family, "outbound");
    const sources = (sent: Packet, pods: Record<Family, string>) =>
      [ambientHostRules(host), ambientHostInetRules(host, 0)].map((rulesets) =>
        formatIp(trace(rulesets, sent, "outbound", { sets: enrolled(pods) }).source),
      );
    const usual = [NODE[family], NODE[family]];
    assert.deepEqual(sources(probe, POD), [PROBE[family], PROBE[family]]);
    assert.deepEqual(sources(probe, PEER), usual, "a pod that is not enrolled");
    assert.deepEqual(sources({ ...probe, protocol: UDP }, POD), usual);
    // The dialects differ here, as upstream's do (baseline, surprise 7): any process, or any of the kubelet's user.
    assert.deepEqual(sources({ ...probe, owner: OTHER }, POD), [PROBE[family], NODE[family]]);
    // Forwarded for somebody else: no socket of this node.
    const { owner: _, ...forwarded } = probe;
    assert.deepEqual(sources(forwarded, POD), usual);
    assert.throws(() => trace(ambientHostRules(host), probe, "outbound"), TraceError, "nobody said who is enrolled");
  }
});

test("what a probe's source is on the host is what its pod lets pass, also where the agent was told other addresses", () => {
  const probeSource = { v4: address("192.0.2.5"), v6: address("2001:db8::5") };
  const host = { families: { v4: true, v6: true }, probeSource };
  const pod = { ...DEFAULT_AMBIENT_CAPTURE, probeSource };
  for (const family of FAMILIES) {
    const sets = new Map([[PROBE_SETS[family], [address(POD[family])]]]);
    const sent = packet({ from: PEER, to: POD, dport: 8080, owner: { uid: 0, gid: 0 } }, family, "outbound");
    for (const [onHost, inPod] of [
      [ambientHostRules(host), ambientRules(pod)],
      [ambientHostInetRules(host, 0), ambientInetRules(pod)],
    ] as const) {
      const { source } = trace(onHost, sent, "outbound", { sets });
      assert.deepEqual(trace(inPod, { ...sent, source }, "inbound").end, { kind: "untouched" });
    }
  }
});

function packet(sent: Sent, family: Family, direction: "inbound" | "outbound"): Packet {
  const { from, to, ...rest } = sent;
  const usual = direction === "inbound" ? [PEER, POD] : [POD, PEER];
  return {
    protocol: "tcp",
    source: address((from ?? usual[0] ?? PEER)[family]),
    destination: address((to ?? usual[1] ?? POD)[family]),
    sport: 33_333,
    dport: 9000,
    interface: "eth0",
    ...rest,
  };
}

function address(text: string) {
  return parseIpAddress(text) ?? assert.fail(text);
}

/**
 * The first answer to a packet whose walk is `asked`: addresses and ports turned round, the connection's mark kept, nat
 * not asked. `direction` is that of the answer; `interface` by which it goes, where that is another one.
 */
function traceAnswer(
  rulesets: readonly Ruleset[],
  packet: Packet,
  asked: Trace,
  direction: "inbound" | "outbound",
  answer: { readonly interface?: string; readonly owner?: Packet["owner"]; readonly mark?: number } = {},
): Trace {
  const turned: Packet = {
    protocol: packet.protocol,
    source: packet.destination,
    destination: packet.source,
    sport: packet.dport,
    dport: packet.sport,
    interface: answer.interface ?? packet.interface,
    ...(answer.owner === undefined ? {} : { owner: answer.owner }),
    mark: answer.mark ?? 0,
    connmark: asked.connmark,
    ctstate: "ESTABLISHED",
  };
  return trace(rulesets, turned, direction);
}

/** The policy rule that routes a packet of this mark, undefined: none of these, the main table does. */
function policyRuleFor(network: PodNetwork, family: 4 | 6, mark: number): PolicyRule | undefined {
  return network.policyRules.find((rule) => rule.family === family && and(mark, rule.fwmask) === rule.fwmark);
}
