// The host's probe rules among other people's: what others own stays byte for byte, and what upstream left behind is taken over.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FAMILIES } from "../../src/core/address.ts";
import { readLegacyTables } from "../../src/platform/exec/legacy-tables.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { DIALECTS, generationOf } from "./backend-fixture.ts";
import { everythingIn, hostProbesOf, ips, LISTED, listedIn, PODS, UID } from "./host-probes-fixture.ts";

const LOOK_INTO_SET = "iptables-nft -A INPUT -m set --match-set istio-inpod-probes-v4 src -j ACCEPT".split(" ");

for (const dialect of DIALECTS) {
  test(`${dialect}: looking at a node changes nothing and makes nothing`, async () => {
    using netns = createNetns();
    const probes = hostProbesOf(netns, dialect);
    const generation = generationOf(netns);
    assert.ok((await probes.drift()).length > 0);
    assert.deepEqual(await probes.listed(UID.a), []);
    assert.deepEqual(await probes.uids(), new Set());
    assert.equal(await probes.removeAll(), false);
    assert.equal(generationOf(netns), generation);
    assert.deepEqual(readLegacyTables(netns.fd), { 4: [], 6: [] });
    assert.equal(netns.mustExec(["ipset", "list"]), "");
    await probes.ensure();
    const written = generationOf(netns);
    await probes.ensure();
    await probes.drift();
    assert.equal(generationOf(netns), written);
  });

  test(`${dialect}: rules, chains and sets of others stay byte for byte, through everything we do`, async () => {
    using netns = createNetns();
    makeForeign(netns);
    const foreign = everythingIn(netns);
    const foreignSet = netns.mustExec(["ipset", "list", "theirs"]);
    const probes = hostProbesOf(netns, dialect);
    const isForeign = (line: string): boolean => !/istio|ISTIO/.test(line);
    await probes.ensure();
    await probes.converge(PODS, { isComplete: true });
    // The first words of every line of theirs are there, in their order.
    const during = everythingIn(netns).filter(isForeign);
    assert.deepEqual(during.filter((line) => foreign.includes(line)).length >= new Set(foreign).size, true);
    if (dialect !== "nftables") {
      const save = netns.mustExec([
        dialect === "iptables-nft" ? "iptables-nft-save" : "iptables-legacy-save",
        "-t",
        "nat",
      ]);
      const chain = save.split("\n").filter((line) => line.startsWith("-A POSTROUTING"));
      assert.equal(chain[0], "-A POSTROUTING -j ISTIO_POSTRT");
      const rest = foreign.flatMap((line) => line.match(new RegExp(`^${dialect}-save (-A POSTROUTING .*)`))?.[1] ?? []);
      assert.deepEqual(chain.slice(1), rest);
    }
    await probes.remove(UID.a);
    assert.equal(await probes.removeAll(), true);
    assert.deepEqual(everythingIn(netns), foreign);
    assert.equal(netns.mustExec(["ipset", "list", "theirs"]), foreignSet);
    assert.equal(await probes.removeAll(), false);
  });

  for (const from of ["upstream in iptables-nft and iptables-legacy", "upstream in nftables", ...DIALECTS] as const) {
    test(`${dialect}: from ${from} on, addresses stay, one rule is left, and only ours`, async () => {
      using netns = createNetns();
      if (from === "upstream in iptables-nft and iptables-legacy") {
        makeUpstreamSets(netns);
        makeUpstreamRules(netns, "iptables");
        makeUpstreamRules(netns, "iptables-legacy");
      } else if (from === "upstream in nftables") makeUpstreamTable(netns);
      else {
        const before = hostProbesOf(netns, from);
        await before.ensure();
        await before.converge(PODS, { isComplete: true });
      }
      const probes = hostProbesOf(netns, dialect);
      const first = await probes.ensure();
      const isSame = from === dialect || (from === "upstream in nftables" && dialect === "nftables");
      assert.equal(first.replaced.length > 0, !isSame);
      assert.deepEqual(listedIn(netns, dialect), LISTED);
      using fresh = createNetns();
      const alone = hostProbesOf(fresh, dialect);
      await alone.ensure();
      await alone.converge(PODS, { isComplete: true });
      const withoutEmptyTables = (lines: string[]): string[] =>
        lines.filter((line) => /istio|ISTIO/.test(line) && !line.includes("comment")).toSorted();
      assert.deepEqual(withoutEmptyTables(everythingIn(netns)), withoutEmptyTables(everythingIn(fresh)));
      // The mark by which an upstream agent falls back to iptables (contract 7.10).
      assert.equal(netns.exec(["ipset", "list", "istio-inpod-probes-v4"]).status === 0, dialect !== "nftables");
      assert.equal((await probes.ensure()).changed, false);
      // Now all pods are told of: one of those that were taken over is gone.
      await probes.converge(new Map([[UID.a, ips("10.0.0.1", "fd00::1")]]), { isComplete: true });
      assert.deepEqual(listedIn(netns, dialect), [`10.0.0.1 ${UID.a}`, `fd00::1 ${UID.a}`]);
    });
  }

  test(`${dialect}: what is not known is never taken out`, async () => {
    using netns = createNetns();
    const before = hostProbesOf(netns, dialect);
    await before.ensure();
    await before.converge(PODS, { isComplete: true });
    // A new agent, after a reboot say: it knows of one pod, and of that not even the address.
    const probes = hostProbesOf(netns, dialect);
    await probes.ensure();
    await probes.converge(new Map([[UID.a, []]]), { isComplete: false });
    await probes.put(UID.a, []);
    assert.deepEqual(listedIn(netns, dialect), LISTED);
    await probes.converge(new Map([[UID.a, []]]), { isComplete: true });
    assert.deepEqual(listedIn(netns, dialect), [`10.0.0.1 ${UID.a}`, `fd00::1 ${UID.a}`]);
    // By UID, without anybody telling which addresses (D11).
    assert.equal(await probes.remove(UID.a), true);
    assert.equal(await probes.remove(UID.a), false);
    assert.deepEqual(listedIn(netns, dialect), []);
  });

  test(`${dialect}: pods that come and go at the same time leave the addresses of those that are there`, async () => {
    using netns = createNetns();
    const probes = hostProbesOf(netns, dialect);
    const uid = (index: number): string => `cccccccc-0000-4000-8000-${String(index).padStart(12, "0")}`;
    const address = (index: number): string[] => [`10.1.0.${index}`, `fd01::${index.toString(16)}`];
    await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        await probes.put(uid(index), ips(...address(index + 1)));
        if (index % 3 === 0) await probes.remove(uid(index));
        if (index % 3 === 1) await probes.put(uid(index), ips(...address(index + 101)));
      }),
    );
    const expected = Array.from({ length: 60 }, (_, index) => index)
      .filter((index) => index % 3 !== 0)
      .flatMap((index) => address(index % 3 === 1 ? index + 101 : index + 1).map((text) => `${text} ${uid(index)}`));
    assert.deepEqual(listedIn(netns, dialect), expected.toSorted());
    assert.deepEqual(await probes.drift(), []);
  });
}

test("iptables-nft: who puts a rule before ours is seen; ours is put first only where it may be", async () => {
  using netns = createNetns();
  const probes = hostProbesOf(netns, "iptables-nft");
  await probes.ensure();
  netns.mustExec(["iptables-nft", "-t", "nat", "-I", "POSTROUTING", "1", "-j", "MASQUERADE"]);
  const rules = (): string[] =>
    netns.mustExec(["iptables-nft", "-t", "nat", "-S", "POSTROUTING"]).trim().split("\n").slice(1);
  const behind = "rules of others stand before ours in chain nat/POSTROUTING of IPv4";
  assert.deepEqual(await probes.drift(), [behind]);
  const left = await probes.ensure({ mayMove: false });
  assert.deepEqual([left.changed, left.isBehind, left.repaired], [false, true, []]);
  assert.deepEqual(rules(), ["-A POSTROUTING -j MASQUERADE", "-A POSTROUTING -j ISTIO_POSTRT"]);
  assert.deepEqual((await probes.ensure()).repaired, [behind]);
  assert.deepEqual(rules(), ["-A POSTROUTING -j ISTIO_POSTRT", "-A POSTROUTING -j MASQUERADE"]);
});

test("nftables: an ipset that rules of others look into stays and is told, until they do not", async () => {
  using netns = createNetns();
  makeUpstreamSets(netns);
  netns.mustExec(LOOK_INTO_SET);
  const probes = hostProbesOf(netns, "nftables");
  const note = "ipset istio-inpod-probes-v4 is left over and stays: rules of others look into it";
  assert.deepEqual((await probes.ensure()).notes, [note]);
  const again = await probes.ensure();
  assert.deepEqual([again.changed, again.notes], [false, [note]]);
  netns.mustExec(["iptables-nft", "-F", "INPUT"]);
  assert.deepEqual((await probes.ensure()).notes, []);
  assert.equal(netns.mustExec(["ipset", "list"]), "");
});

test("a set of our name that serves others and not us is not taken from them", async () => {
  using netns = createNetns();
  netns.mustExec(["ipset", "create", "istio-inpod-probes-v4", "hash:net"]);
  netns.mustExec(LOOK_INTO_SET);
  const probes = hostProbesOf(netns, "iptables-nft");
  await assert.rejects(
    probes.ensure(),
    /ipset istio-inpod-probes-v4 does not serve \(it is of type hash:net\), and rules of others look into it/,
  );
  assert.match(netns.mustExec(["ipset", "list", "istio-inpod-probes-v4"]), /hash:net/);
  assert.ok(!netns.mustExec(["iptables-nft-save"]).includes("ISTIO"));
  assert.match(netns.mustExec(["ip6tables-nft-save"]), /-A POSTROUTING -j ISTIO_POSTRT/);
});

test("a table nat that iptables could not use is left as it is, and why is told", async () => {
  using netns = createNetns();
  netns.mustExec(["nft", "-f", "-"], {
    input: "table ip nat { chain POSTROUTING { type nat hook postrouting priority 0; ip daddr 10.9.9.9 accept; }; }\n",
  });
  const before = netns.mustExec(["nft", "list", "ruleset"]);
  const probes = hostProbesOf(netns, "iptables-nft", { families: { v4: true, v6: false } });
  await assert.rejects(
    probes.ensure(),
    /Cannot let probes of the node into pods: chain nat\/POSTROUTING of IPv4 is not as iptables makes it/,
  );
  assert.equal(netns.mustExec(["nft", "list", "ruleset"]), before);
});

test("a family that the kernel refuses does not keep the other one from standing", async () => {
  using netns = createNetns();
  netns.mustExec(["nft", "add", "table", "ip", "nat"]);
  netns.mustExec(["nft", "add", "chain", "ip", "nat", "POSTROUTING", "{ type filter hook postrouting priority 100; }"]);
  const probes = hostProbesOf(netns, "iptables-nft");
  await assert.rejects(probes.ensure(), /of IPv4 is not as iptables makes it/);
  assert.match(netns.mustExec(["ip6tables-nft-save"]), /-A POSTROUTING -j ISTIO_POSTRT/);
});

test("rules of a node that is captured itself are not the host's, and stay", async () => {
  using netns = createNetns();
  const input = [
    "*nat",
    ":ISTIO_OUTPUT - [0:0]",
    "-A OUTPUT -p tcp -j ISTIO_OUTPUT",
    "-A ISTIO_OUTPUT -p tcp -j REDIRECT --to-ports 15001",
    "COMMIT",
    "",
  ];
  netns.mustExec(["iptables-nft-restore", "--noflush"], { input: input.join("\n") });
  netns.mustExec(["nft", "add", "table", "inet", "istio-proxy-nat"]);
  const before = everythingIn(netns);
  for (const dialect of DIALECTS) {
    const probes = hostProbesOf(netns, dialect);
    await probes.ensure();
    await probes.removeAll();
  }
  assert.deepEqual(
    everythingIn(netns).filter((line) => !line.includes("legacy")),
    before,
  );
});

test("a UID that could not be written beside an address is refused before anything is written", async () => {
  using netns = createNetns();
  const probes = hostProbesOf(netns, "iptables-nft");
  for (const uid of ["", 'a"b', "x".repeat(128), "a b", "a\n"]) {
    await assert.rejects(probes.put(uid, ips("10.0.0.1")), / beside its addresses: 1 to 127 letters/);
    await assert.rejects(probes.converge(new Map([[uid, []]]), { isComplete: true }), RangeError);
  }
  assert.equal(netns.mustExec(["ipset", "list"]), "");
});

/** A node as it is found: kube-proxy's and a container engine's rules in every dialect, a firewall, sets. */
function makeForeign(netns: TestNetns): void {
  const nat = [
    "*nat",
    ":KUBE-POSTROUTING - [0:0]",
    ":DOCKER - [0:0]",
    "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
    "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
    "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
    "-A KUBE-POSTROUTING -j MASQUERADE --random-fully",
    "COMMIT",
    "*filter",
    "-A FORWARD -i docker0 -j ACCEPT",
    "COMMIT",
    "",
  ].join("\n");
  for (const tool of ["iptables-nft-restore", "iptables-legacy-restore"])
    netns.mustExec([tool, "--noflush"], { input: nat });
  netns.mustExec(["ip6tables-legacy-restore", "--noflush"], {
    input: "*nat\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n",
  });
  netns.mustExec(["ip6tables-nft-restore", "--noflush"], {
    input: "*nat\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n",
  });
  netns.mustExec(["nft", "-f", "-"], {
    input: `table inet firewalld {
  set allowed { type ipv4_addr; elements = { 10.0.0.1 } }
  chain postrouting { type nat hook postrouting priority srcnat + 10; policy accept; ip saddr @allowed masquerade; }
}
table ip kube-proxy { chain nat-postrouting { type nat hook postrouting priority srcnat; mark & 0x4000 == 0x4000 masquerade; }; }
`,
  });
  netns.mustExec(["ipset", "create", "theirs", "hash:ip", "comment"]);
  netns.mustExec(["ipset", "add", "theirs", "10.0.0.1", "comment", UID.a]);
}

/** As upstream's agent makes them over netlink (contract 7.8). */
function makeUpstreamSets(netns: TestNetns): void {
  netns.mustExec(["ipset", "create", "istio-inpod-probes-v4", "hash:ip", "comment"]);
  netns.mustExec(["ipset", "create", "istio-inpod-probes-v6", "hash:ip", "family", "inet6", "comment"]);
  for (const [podUid, addresses] of [
    [UID.a, ["10.0.0.1", "fd00::1"]],
    [UID.b, ["10.0.0.2"]],
  ] as const) {
    for (const address of addresses) {
      const set = `istio-inpod-probes-${address.includes(":") ? "v6" : "v4"}`;
      netns.mustExec(["ipset", "add", "-exist", set, address, "comment", podUid]);
    }
  }
}

function makeUpstreamRules(netns: TestNetns, prefix: "iptables" | "iptables-legacy"): void {
  for (const family of FAMILIES) {
    const tool = prefix.replace("ip", family === 4 ? "ip" : "ip6").replace(/tables$/, "tables-nft");
    const source = family === 4 ? "169.254.7.127" : "fd16:9254:7127:1337:ffff:ffff:ffff:ffff";
    const set = `istio-inpod-probes-v${family}`;
    netns.mustExec([tool, "-t", "nat", "-N", "ISTIO_POSTRT"]);
    netns.mustExec([tool, "-t", "nat", "-I", "POSTROUTING", "1", "-j", "ISTIO_POSTRT"]);
    const match = ["-m", "owner", "--socket-exists", "-p", "tcp", "-m", "set", "--match-set", set, "dst"];
    netns.mustExec([tool, "-t", "nat", "-A", "ISTIO_POSTRT", ...match, "-j", "SNAT", "--to-source", source]);
  }
}

function makeUpstreamTable(netns: TestNetns): void {
  const element = (address: string, podUid: string): string => `${address} comment "${podUid}"`;
  netns.mustExec(["nft", "-f", "-"], {
    input: `add table inet istio-ambient-nat
add set inet istio-ambient-nat istio-inpod-probes-v4 { type ipv4_addr; comment "UUID of the pods that are part of ambient mesh"; }
add set inet istio-ambient-nat istio-inpod-probes-v6 { type ipv6_addr; comment "UUID of the pods that are part of ambient mesh"; }
add chain inet istio-ambient-nat postrouting { type nat hook postrouting priority 100; }
add rule inet istio-ambient-nat postrouting meta l4proto tcp skuid 0 ip daddr @istio-inpod-probes-v4 counter snat to 169.254.7.127
add rule inet istio-ambient-nat postrouting meta l4proto tcp skuid 0 ip6 daddr @istio-inpod-probes-v6 counter snat to fd16:9254:7127:1337:ffff:ffff:ffff:ffff
add element inet istio-ambient-nat istio-inpod-probes-v4 { ${element("10.0.0.1", UID.a)}, ${element("10.0.0.2", UID.b)} }
add element inet istio-ambient-nat istio-inpod-probes-v6 { ${element("fd00::1", UID.a)} }
`,
  });
}
