// What holds for the rules of any pod, drawn at random from the words a pod can say.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { arbitraryPod } from "../../../testbed/sidecar/arbitrary-pod.ts";
import { planOfPod } from "../../../testbed/sidecar/pod-words.ts";
import { parseIpAddress } from "../address.ts";
import { diffRulesets } from "./diff.ts";
import type { Packet } from "./match-packet.ts";
import { sidecarInetRules, sidecarRules } from "./sidecar.ts";
import type { SidecarCapture } from "./sidecar-capture.ts";
import { trace } from "./tracer.ts";

const BOTH = { v4: true, v6: true } as const;
const ADDRESSES = {
  4: ["10.1.0.7", "10.2.0.9", "127.0.0.1", "127.0.0.6", "127.8.8.8", "8.8.8.8"],
  6: ["fd00:1::7", "fd00:2::9", "::1", "::6", "2606::1"],
} as const;

const arbitraryCapture = arbitraryPod.map((pod): SidecarCapture => {
  const { dualStack: _, ...plan } = planOfPod(pod);
  return { ...plan, families: BOTH };
});
const arbitraryFamilies = fc.constantFrom(BOTH, { v4: true, v6: false }, { v4: false, v6: true });

/** A packet for a capture: its own ports, users and interfaces as often as others. */
function arbitraryPacket(capture: SidecarCapture): fc.Arbitrary<Packet> {
  const { inboundPorts, outboundPorts, excludeInterfaces, rerouteVirtualInterfaces, ownerGroups } = capture;
  const listed = <T>(entries: "*" | readonly T[]): readonly T[] => (entries === "*" ? [] : entries);
  const ports = [
    ...[8080, 80, 443, 53, 15002, 15008, 15020, 15021, 15090],
    ...[...listed(inboundPorts.include), ...inboundPorts.exclude, ...outboundPorts.include, ...outboundPorts.exclude],
  ];
  const uids = [0, 1000, 1337, ...capture.proxyUids];
  const gids = [0, 1000, 1337, ...capture.proxyGids, ...listed(ownerGroups.include), ...ownerGroups.exclude];
  return fc.constantFrom(4 as const, 6 as const).chain((family) => {
    const listedRanges = [...listed(capture.outboundIpRanges.include), ...capture.outboundIpRanges.exclude];
    const known = ADDRESSES[family].map((text) => parseIpAddress(text) ?? assert.fail(text));
    const inRanges = listedRanges.filter((range) => range.family === family);
    const address = fc.constantFrom(...known, ...inRanges.map(({ bytes }) => ({ family, bytes })));
    return fc.record({
      protocol: fc.constantFrom("tcp" as const, "udp" as const),
      source: address,
      destination: address,
      sport: fc.constantFrom(33_333, 53, 15_053),
      dport: fc.constantFrom(...ports),
      interface: fc.constantFrom("eth0", "lo", ...excludeInterfaces, ...rerouteVirtualInterfaces),
      owner: fc.record({ uid: fc.constantFrom(...uids), gid: fc.constantFrom(...gids) }),
      mark: fc.constantFrom(0, 1337, 1338),
      connmark: fc.constantFrom(0, 1337),
      ctstate: fc.constantFrom("NEW" as const, "ESTABLISHED" as const, "INVALID" as const),
    });
  });
}

const direction = fc.constantFrom("inbound" as const, "outbound" as const);
const captureAndPackets = arbitraryCapture.chain((capture) =>
  fc.record({ capture: fc.constant(capture), packets: fc.array(arbitraryPacket(capture), { maxLength: 20 }) }),
);

test("both dialects do the same to any packet of any pod", () => {
  fc.assert(
    fc.property(captureAndPackets, arbitraryFamilies, direction, ({ capture: both, packets }, families, way) => {
      const capture = { ...both, families };
      const dialects = [sidecarRules(capture), [sidecarInetRules(capture)]];
      for (const packet of packets) {
        // Upstream's native rules drop invalid packets of TCP only (contract 5.5 row 4).
        if (capture.dropInvalid && packet.ctstate === "INVALID" && packet.protocol === "udp") continue;
        const [iptables, native] = dialects.map((rulesets) => {
          const { path: _, steps: _steps, ...result } = trace(rulesets, packet, way);
          return result;
        });
        assert.deepEqual(iptables, native);
      }
    }),
    { numRuns: 500 },
  );
});

test("what any proxy sends to others leaves the pod: nothing of it comes back to the proxy", () => {
  fc.assert(
    fc.property(captureAndPackets, ({ capture, packets }) => {
      for (const packet of packets) {
        const [uid = 0] = capture.proxyUids;
        const sent = {
          ...packet,
          owner: { uid, gid: packet.owner?.gid ?? 0 },
          interface: "eth0",
          mark: 0,
          connmark: 0,
        };
        for (const rulesets of [sidecarRules(capture), [sidecarInetRules(capture)]]) {
          assert.deepEqual(trace(rulesets, sent, "outbound").end, { kind: "untouched" });
        }
      }
    }),
    { numRuns: 200 },
  );
});

test("the rules of any pod are the same each time, and nothing is to be done where they stand", () => {
  fc.assert(
    fc.property(arbitraryPod, (pod) => {
      const [first, again] = [pod, pod].map((each) => sidecarRules({ ...planOfPod(each), families: BOTH }));
      assert.ok(first !== undefined && again !== undefined);
      assert.deepEqual(first, again);
      assert.deepEqual(diffRulesets(first, again), []);
    }),
    { numRuns: 200 },
  );
});
