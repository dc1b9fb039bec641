// What packets see of the host's probe rules: a process of the node reaches a pod of the set from the probe source, in every
// dialect and family, and nobody else does.

import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIp } from "../../src/core/address.ts";
import { DEFAULT_PROBE_SOURCE } from "../../src/core/rules/ambient-numbers.ts";
import { DIALECTS } from "./backend-fixture.ts";
import {
  createHostWithPods,
  everythingIn,
  hostProbesOf,
  ip,
  ips,
  listedIn,
  sourceSeen,
  UID,
} from "./host-probes-fixture.ts";

const PROBE_SOURCE = { 4: formatIp(DEFAULT_PROBE_SOURCE.v4), 6: formatIp(DEFAULT_PROBE_SOURCE.v6) } as const;
const OTHER_USER = 65_534;

for (const dialect of DIALECTS) {
  test(`${dialect}: what a process of the node sends to a pod of the set comes from the probe source, nothing else does`, async () => {
    using scene = createHostWithPods(2);
    const { host, pods } = scene;
    const [a, b] = pods;
    assert.ok(a !== undefined && b !== undefined);
    // Every CNI masquerades in some way; our source has to be given before that.
    for (const tool of ["iptables-nft", "ip6tables-nft"]) {
      host.mustExec([
        tool,
        "-t",
        "nat",
        "-A",
        "POSTROUTING",
        "-m",
        "addrtype",
        "--src-type",
        "LOCAL",
        "-j",
        "MASQUERADE",
      ]);
    }
    const probes = hostProbesOf(host, dialect);
    await probes.ensure();
    await probes.put(UID.a, ips(a.v4, a.v6));
    for (const [family, address, other] of [
      [4, a.v4, b.v4],
      [6, a.v6, b.v6],
    ] as const) {
      assert.equal(await sourceSeen(host, a.netns, address), PROBE_SOURCE[family]);
      // Of another pod, through the node.
      assert.equal(await sourceSeen(b.netns, a.netns, address), other);
      // To a pod that is not in the set.
      assert.equal(await sourceSeen(host, b.netns, other), sourceOfNode(family, 1));
      // As another user: exempt by its socket with iptables, not in native nftables.
      const seen = await sourceSeen(host, a.netns, address, OTHER_USER);
      assert.equal(seen, dialect === "nftables" ? sourceOfNode(family) : PROBE_SOURCE[family]);
    }
    await probes.remove(UID.a);
    assert.equal(await sourceSeen(host, a.netns, a.v4), sourceOfNode(4));
  });

  test(`${dialect}: an address that comes up again is its new pod's, and the old pod's removal takes nothing away (D33)`, async () => {
    using scene = createHostWithPods(1);
    const { host, pods } = scene;
    const [a] = pods;
    assert.ok(a !== undefined);
    const probes = hostProbesOf(host, dialect);
    await probes.put(UID.a, ips(a.v4, a.v6));
    await probes.put(UID.b, ips(a.v4));
    assert.deepEqual(listedIn(host, dialect), [`${a.v4} ${UID.b}`, `${a.v6} ${UID.a}`]);
    await probes.remove(UID.a);
    assert.deepEqual(listedIn(host, dialect), [`${a.v4} ${UID.b}`]);
    assert.equal(await sourceSeen(host, a.netns, a.v4), PROBE_SOURCE[4]);
  });

  test(`${dialect}: addresses by which no pod is reached stay out of the set, and the node reaches itself`, async () => {
    using scene = createHostWithPods(1);
    const { host, pods } = scene;
    const [a] = pods;
    assert.ok(a !== undefined);
    const local = ips("127.0.0.1", "::1", "fe80::1", "169.254.7.127", "::ffff:127.0.0.1");
    const probes = hostProbesOf(host, dialect);
    await probes.ensure();
    // As an agent finds them in the namespace of a pod that starts.
    const { skipped } = await probes.put(UID.a, [...local, ...ips(a.v4, a.v6)]);
    assert.equal(skipped.length, local.length);
    await probes.converge(new Map([[UID.b, local]]), { isComplete: false });
    assert.deepEqual(listedIn(host, dialect), [`${a.v4} ${UID.a}`, `${a.v6} ${UID.a}`]);
    assert.equal(await sourceSeen(host, host, "127.0.0.1"), "127.0.0.1");
    assert.equal(await sourceSeen(host, host, "::1"), "::1");
    await probes.converge(new Map([[UID.a, local]]), { isComplete: true });
    assert.deepEqual(listedIn(host, dialect), [`${a.v4} ${UID.a}`, `${a.v6} ${UID.a}`], "nothing is known of it");
    assert.deepEqual(await probes.drift(), []);
  });

  test(`${dialect}: without IPv6 there is no set and no rule of it, and a v6 address is told and not an error`, async () => {
    using scene = createHostWithPods(1);
    const { host, pods } = scene;
    const [a] = pods;
    assert.ok(a !== undefined);
    const probes = hostProbesOf(host, dialect, { families: { v4: true, v6: false } });
    await probes.ensure();
    const { skipped } = await probes.put(UID.a, ips(a.v4, a.v6));
    assert.deepEqual(skipped, [ip(a.v6)]);
    assert.deepEqual(await probes.put(UID.b, [ip(a.v6)]), { skipped: [ip(a.v6)] });
    assert.deepEqual(listedIn(host, dialect), [`${a.v4} ${UID.a}`]);
    assert.ok(!everythingIn(host).join("\n").includes("istio-inpod-probes-v6"));
    assert.deepEqual(await probes.drift(), []);
    assert.notEqual(await sourceSeen(host, a.netns, a.v6), PROBE_SOURCE[6]);
  });
}

test("IPv6 that is switched off takes its rule and its set away, and switched on brings them", async () => {
  for (const dialect of DIALECTS) {
    using scene = createHostWithPods(0);
    const { host } = scene;
    const onlyV4 = hostProbesOf(host, dialect, { families: { v4: true, v6: false } });
    await onlyV4.ensure();
    const before = everythingIn(host);
    const both = hostProbesOf(host, dialect);
    await both.ensure();
    await both.put(UID.a, ips("10.0.0.1", "fd00::1"));
    await onlyV4.converge(new Map([[UID.a, ips("10.0.0.1", "fd00::1")]]), { isComplete: true });
    await onlyV4.ensure();
    assert.deepEqual(listedIn(host, dialect), [`10.0.0.1 ${UID.a}`]);
    // Empty tables of iptables legacy stay until the namespace ends.
    const ours = (lines: string[]): string[] => lines.filter((line) => /istio/i.test(line) && !line.includes(UID.a));
    assert.deepEqual(ours(everythingIn(host)), ours(before));
    assert.equal(host.exec(["ipset", "list", "istio-inpod-probes-v6"]).status, 1);
  }
});

/** The node's own address on the link to a pod. */
function sourceOfNode(family: 4 | 6, pod = 0): string {
  return family === 4 ? `10.77.${pod}.1` : `fd77::${pod + 1}:1`;
}
