// DNS of applications and of the proxy is tracked apart although both use one source port: the zone the tracer tells is the
// one conntrack holds. Who gets an answer is asked by the case table.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FAMILIES, type Family, parseIpAddress } from "../../src/core/address.ts";
import type { Packet } from "../../src/core/rules/match-packet.ts";
import { sidecarInetRules, sidecarRules } from "../../src/core/rules/sidecar.ts";
import { DEFAULT_SIDECAR_CAPTURE, type SidecarCapture } from "../../src/core/rules/sidecar-capture.ts";
import { trace } from "../../src/core/rules/tracer.ts";
import { backendOf, DIALECTS } from "./backend-fixture.ts";
import { PLACES, USERS } from "./case-table-probes.ts";
import { createStage, type Stage } from "./case-table-stage.ts";

const PROXY = { uid: 1337, gid: 1337 };
/** Who asks, from which source port. */
const ASKING = [
  { user: USERS.app, sourcePort: 20_001 },
  { user: PROXY, sourcePort: 20_001 },
  { user: USERS["uid 1337"], sourcePort: 20_002 },
  { user: USERS["gid 1337"], sourcePort: 20_003 },
  { user: USERS.root, sourcePort: 20_003 },
];

for (const dialect of DIALECTS) {
  test(`${dialect}: each question is tracked in the zone the tracer tells`, async () => {
    const capture: SidecarCapture = { ...DEFAULT_SIDECAR_CAPTURE, dnsCapture: true, families: { v4: true, v6: true } };
    const rulesets = dialect === "nftables" ? [sidecarInetRules(capture)] : sidecarRules(capture);
    await using stage = await createStage([4, 6]);
    await backendOf(dialect).apply(stage.pod.fd, capture);
    await using _proxy = await stage.startProxy(PROXY, "REDIRECT");
    for (const family of FAMILIES) {
      const destination = PLACES.peer[family];
      const traced = ASKING.map(({ user, sourcePort }) => {
        const packet = packetOf(family, user, sourcePort);
        return `${sourcePort} zone=${trace(rulesets, packet, "outbound").zone}`;
      });
      assert.equal(new Set(traced).size, ASKING.length, "no two of them share an entry");
      const question = { from: "pod", protocol: "udp", source: undefined, mark: 0, destination, port: 53 } as const;
      await stage.ask(ASKING.map((asking) => ({ ...question, ...asking })));
      assert.deepEqual(trackedIn(stage, family).toSorted(), traced.toSorted());
    }
  });
}

/** Source port and zone of every DNS entry. */
function trackedIn(stage: Stage, family: Family): string[] {
  const list = stage.pod.mustExec(["conntrack", "-L", "-f", family === 4 ? "ipv4" : "ipv6", "-p", "udp"]);
  return [...list.matchAll(/^udp .*? sport=(\d+) dport=53 .* (zone=\d+) /gm)].map(
    ([, port, zone]) => `${port} ${zone}`,
  );
}

function packetOf(family: Family, owner: Packet["owner"] & {}, sport: number): Packet {
  const address = (text: string) => parseIpAddress(text) ?? assert.fail(text);
  return {
    protocol: "udp",
    source: address(PLACES.pod[family]),
    destination: address(PLACES.peer[family]),
    sport,
    dport: 53,
    interface: "eth0",
    owner,
  };
}
