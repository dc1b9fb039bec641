// What others flush of the host's probe rules comes back: each way of flushing, in each dialect, and by whom it is heard.

import assert from "node:assert/strict";
import { test } from "node:test";
import { keepHostProbes } from "../../src/agent/netfilter/host-probes-keeper.ts";
import { openChangeMonitor } from "../../src/agent/verify/change-monitor.ts";
import type { BackendDialect } from "../../src/core/policy/backend-features.ts";
import { createSystemClock } from "../../src/platform/clock.ts";
import { joinNetlinkGroup, openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createPoller } from "../../src/platform/linux/poller.ts";
import { createNetns } from "../../testbed/netns.ts";
import { DIALECTS } from "./backend-fixture.ts";
import { everythingIn, hostProbesOf, LISTED, listedIn, PODS, UID } from "./host-probes-fixture.ts";

/** What others do, each a list of programs with their input. */
const FLUSH_IPTABLES = (tool: string): string[][] => [
  [tool, "-t", "nat", "-F"],
  [tool, "-t", "nat", "-X"],
];
const SABOTAGE: Readonly<Record<BackendDialect, readonly [name: string, commands: readonly string[][]][]>> = {
  "iptables-nft": [
    ["iptables -t nat -F", [["iptables-nft", "-t", "nat", "-F"]]],
    ["iptables -t nat -F POSTROUTING", [["iptables-nft", "-t", "nat", "-F", "POSTROUTING"]]],
    ["iptables -t nat -D ISTIO_POSTRT 1", [["iptables-nft", "-t", "nat", "-D", "ISTIO_POSTRT", "1"]]],
    ["our rule behind another one", [["iptables-nft", "-t", "nat", "-I", "ISTIO_POSTRT", "-j", "RETURN"]]],
    ["nft flush ruleset", [["nft", "flush", "ruleset"]]],
    ["nft delete table ip6 nat", [["nft", "delete", "table", "ip6", "nat"]]],
    ["the table switched off", [["nft", "add", "table", "ip", "nat", "{ flags dormant; }"]]],
    ["ipset flush", [["ipset", "flush"]]],
    ["ipset del", [["ipset", "del", "istio-inpod-probes-v4", "10.0.0.1"]]],
    ["another pod's comment", [["ipset", "add", "-exist", "istio-inpod-probes-v4", "10.0.0.2", "comment", UID.a]]],
    [
      "everything of iptables and ipset",
      [...FLUSH_IPTABLES("iptables-nft"), ...FLUSH_IPTABLES("ip6tables-nft"), ["ipset", "destroy"]],
    ],
    [
      "another kind of set under our name",
      [
        ...FLUSH_IPTABLES("iptables-nft"),
        ["ipset", "destroy", "istio-inpod-probes-v4"],
        ["ipset", "create", "istio-inpod-probes-v4", "hash:net"],
      ],
    ],
    [
      "the set swapped for one without comments, under our rule",
      [
        ["ipset", "create", "other", "hash:ip"],
        ["ipset", "swap", "istio-inpod-probes-v4", "other"],
      ],
    ],
  ],
  nftables: [
    ["nft flush ruleset", [["nft", "flush", "ruleset"]]],
    ["nft delete table", [["nft", "delete", "table", "inet", "istio-ambient-nat"]]],
    ["nft flush table", [["nft", "flush", "table", "inet", "istio-ambient-nat"]]],
    ["nft flush set", [["nft", "flush", "set", "inet", "istio-ambient-nat", "istio-inpod-probes-v4"]]],
    [
      "nft delete element",
      [["nft", "delete", "element", "inet", "istio-ambient-nat", "istio-inpod-probes-v6", "{ fd00::1 }"]],
    ],
    ["a rule of theirs in our chain", [["nft", "add", "rule", "inet", "istio-ambient-nat", "postrouting", "accept"]]],
    [
      "another kind of set under our name",
      [
        ["nft", "delete", "table", "inet", "istio-ambient-nat"],
        ["nft", "add", "table", "inet", "istio-ambient-nat"],
        [
          "nft",
          "add",
          "set",
          "inet",
          "istio-ambient-nat",
          "istio-inpod-probes-v4",
          "{ type ipv4_addr; flags interval; }",
        ],
      ],
    ],
  ],
  "iptables-legacy": [
    ["iptables-legacy -t nat -F", [["iptables-legacy", "-t", "nat", "-F"]]],
    ["ip6tables-legacy -t nat -F and -X", FLUSH_IPTABLES("ip6tables-legacy")],
    ["ipset flush", [["ipset", "flush"]]],
    [
      "everything of iptables and ipset",
      [...FLUSH_IPTABLES("iptables-legacy"), ...FLUSH_IPTABLES("ip6tables-legacy"), ["ipset", "destroy"]],
    ],
  ],
};

for (const dialect of DIALECTS) {
  for (const [name, commands] of SABOTAGE[dialect]) {
    test(`${dialect}: after "${name}" drift() tells it, ensure() puts it back and tells it, and then nothing differs`, async () => {
      using netns = createNetns();
      const probes = hostProbesOf(netns, dialect);
      assert.deepEqual((await probes.ensure()).repaired, []);
      await probes.converge(PODS, { isComplete: true });
      const before = everythingIn(netns);
      for (const argv of commands) netns.mustExec(argv);
      const said = await probes.drift();
      assert.notDeepEqual(said, []);
      const { repaired, changed } = await probes.ensure();
      assert.equal(changed, true);
      assert.deepEqual(repaired, said);
      netns.exec(["ipset", "destroy", "other"]);
      assert.deepEqual(listedIn(netns, dialect), LISTED);
      assert.deepEqual(everythingIn(netns), before);
      assert.deepEqual(await probes.drift(), []);
      assert.equal((await probes.ensure()).changed, false);
    });
  }
}

for (const dialect of DIALECTS) {
  test(`${dialect}: a new agent puts back what the one before it had put in, though nobody told it of those pods`, async () => {
    using netns = createNetns();
    const before = hostProbesOf(netns, dialect);
    await before.converge(PODS, { isComplete: true });
    const probes = hostProbesOf(netns, dialect);
    await probes.ensure();
    await probes.remove(UID.b);
    const flush =
      dialect === "nftables"
        ? ["nft", "flush", "set", "inet", "istio-ambient-nat", "istio-inpod-probes-v4"]
        : ["ipset", "flush", "istio-inpod-probes-v4"];
    netns.mustExec(flush);
    const name = `${dialect === "nftables" ? "set" : "ipset"} istio-inpod-probes-v4`;
    assert.deepEqual((await probes.ensure()).repaired, [`${name} lacks 1 address`]);
    assert.deepEqual(listedIn(netns, dialect), [`10.0.0.1 ${UID.a}`, `fd00::1 ${UID.a}`]);
  });
}

for (const [dialect, flush, found] of [
  ["iptables-nft", "nft flush ruleset", "is missing"],
  ["nftables", "nft flush ruleset", "is missing"],
  ["nftables", "nft flush set inet istio-ambient-nat istio-inpod-probes-v4", "lacks"],
  ["nftables", "nft delete element inet istio-ambient-nat istio-inpod-probes-v6 {fd00::1}", "lacks"],
] as const) {
  test(`${dialect}: the keeper hears of "${flush}" and mends it without waiting for its timer`, async () => {
    using netns = createNetns();
    const poller = createPoller((error) => assert.fail(String(error)));
    const ending = new AbortController();
    try {
      const probes = hostProbesOf(netns, dialect);
      await probes.converge(PODS, { isComplete: true });
      const before = everythingIn(netns);
      const repaired = Promise.withResolvers<readonly string[]>();
      const looked = Promise.withResolvers<void>();
      const keeping = keepHostProbes(
        {
          probes: {
            dialect,
            async ensure(move) {
              const done = await probes.ensure(move);
              looked.resolve();
              return done;
            },
          },
          openMonitor: (onChange) =>
            openChangeMonitor(
              {
                openNetlink,
                joinGroup: joinNetlinkGroup,
                watchReadable: (fd, onReadable) => poller.watch(fd, { readable: true, writable: false }, onReadable),
              },
              netns.fd,
              onChange,
            ),
          clock: createSystemClock(),
          readSet: async () => undefined,
          onRepaired: repaired.resolve,
          onReplaced: () => assert.fail(),
          onNotes: () => assert.fail(),
          onFailure: repaired.reject,
        },
        { intervalMs: 3_600_000 },
        ending.signal,
      );
      await looked.promise;
      netns.mustExec(flush.split(" "));
      assert.ok((await repaired.promise).some((sentence) => sentence.includes(found)));
      assert.deepEqual(everythingIn(netns), before);
      ending.abort();
      await keeping;
    } finally {
      ending.abort();
      await poller.close();
    }
  });
}

test("iptables-nft: the keeper finds a flushed ipset by its timer, as nobody tells of it", async () => {
  using netns = createNetns();
  const ending = new AbortController();
  const probes = hostProbesOf(netns, "iptables-nft");
  await probes.converge(PODS, { isComplete: true });
  const repaired = Promise.withResolvers<readonly string[]>();
  const looked = Promise.withResolvers<void>();
  const keeping = keepHostProbes(
    {
      probes: {
        dialect: "iptables-nft",
        async ensure(move) {
          const done = await probes.ensure(move);
          looked.resolve();
          return done;
        },
      },
      clock: createSystemClock(),
      readSet: async () => undefined,
      onRepaired: repaired.resolve,
      onReplaced: () => assert.fail(),
      onNotes: () => assert.fail(),
      onFailure: repaired.reject,
    },
    { intervalMs: 20, restMs: 10 },
    ending.signal,
  );
  try {
    await looked.promise;
    netns.mustExec(["ipset", "flush"]);
    const sentences = ["ipset istio-inpod-probes-v4 lacks 2 addresses", "ipset istio-inpod-probes-v6 lacks 1 address"];
    assert.deepEqual(await repaired.promise, sentences);
    assert.deepEqual(listedIn(netns, "iptables-nft"), LISTED);
  } finally {
    ending.abort();
    await keeping;
  }
});
