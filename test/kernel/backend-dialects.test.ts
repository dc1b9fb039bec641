import assert from "node:assert/strict";
import { test } from "node:test";
import type { BackendDialect } from "../../src/core/policy/backend-features.ts";
import type { PodCapture } from "../../src/core/rules/pod-capture.ts";
import { DEFAULT_SIDECAR_CAPTURE, type SidecarCapture } from "../../src/core/rules/sidecar-capture.ts";
import { findProgram } from "../../src/platform/exec/find-program.ts";
import { readLegacyTables } from "../../src/platform/exec/legacy-tables.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { SIDECAR_CASES } from "../../testbed/sidecar/sidecar-cases.ts";
import { ambientCase, backendOf, DIALECTS, FAMILIES, generationOf, rulesIn, sidecarCase } from "./backend-fixture.ts";

const MODES = ["REDIRECT", "TPROXY", "ambient"] as const;

for (const dialect of DIALECTS) {
  for (const [family, families] of Object.entries(FAMILIES)) {
    for (const mode of MODES) {
      const capture: PodCapture =
        mode === "ambient"
          ? ambientCase({ families })
          : { ...DEFAULT_SIDECAR_CAPTURE, mode, dnsCapture: true, families };

      test(`${dialect} ${family} ${mode}: applying again changes nothing, edits are seen and repaired, removal leaves nothing`, async () => {
        const executed: string[] = [];
        const backend = backendOf(dialect, { executed });
        using netns = createNetns();
        const before = rulesIn(netns);
        const first = await backend.apply(netns.fd, capture);
        assert.deepEqual(first, { dialect, changed: true, replaced: [], repaired: [] });
        const standing = rulesIn(netns);
        const generation = generationOf(netns);
        executed.length = 0;

        const again = await backend.apply(netns.fd, capture);
        assert.deepEqual(again, { dialect, changed: false, replaced: [], repaired: [] });
        assert.deepEqual(await backend.drift(netns.fd, capture), []);
        assert.equal(generationOf(netns), generation);
        assert.deepEqual(
          executed.filter((program) => program.includes("restore")),
          [],
        );

        for (const edit of editsOf(dialect, family === "v6", mode === "ambient" ? "istio-ambient" : "istio-proxy")) {
          netns.mustExec(edit);
          const found = await backend.drift(netns.fd, capture, { formerly: capture });
          const repair = await backend.apply(netns.fd, capture, { formerly: capture });
          assert.deepEqual(repair, { dialect, changed: true, replaced: [], repaired: found }, edit.join(" "));
          assert.notDeepEqual(found, [], edit.join(" "));
          assert.deepEqual(await backend.drift(netns.fd, capture), [], edit.join(" "));
          assert.deepEqual(rulesIn(netns), standing, edit.join(" "));
        }

        assert.equal(await backend.remove(netns.fd, capture), true);
        assert.deepEqual(rulesIn(netns), before);
        assert.equal(await backend.remove(netns.fd, capture), false);
      });
    }
  }
}

for (const dialect of DIALECTS) {
  test(`${dialect}: every capture of the case table stands after one apply, and changing from one to the next leaves no trace of it`, async () => {
    const backend = backendOf(dialect);
    using netns = createNetns();
    let formerly: SidecarCapture | undefined;
    for (const [name, capture] of Object.entries(SIDECAR_CASES)) {
      await backend.apply(netns.fd, capture, formerly === undefined ? {} : { formerly });
      assert.deepEqual(await backend.drift(netns.fd, capture), [], name);
      using fresh = createNetns();
      await backend.apply(fresh.fd, capture);
      assert.deepEqual(withoutRouting(rulesIn(netns)), withoutRouting(rulesIn(fresh)), name);
      formerly = capture;
    }
  });

  test(`${dialect}: rules of others stay through apply, repair and removal`, async () => {
    const backend = backendOf(dialect);
    const capture = sidecarCase("tproxy-dns-drop-invalid");
    using netns = createNetns();
    const tool = dialect === "iptables-legacy" ? "iptables-legacy" : "iptables-nft";
    const foreign = [
      "*nat",
      ":CNI-HOSTPORT - [0:0]",
      "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT",
      '-A CNI-HOSTPORT -p tcp -m tcp --dport 8080 -m comment --comment "not ours" -j DNAT --to-destination 10.0.0.2:80',
      "COMMIT",
      "*filter",
      "-A INPUT -i eth+ -j ACCEPT",
      "COMMIT",
      "",
    ].join("\n");
    netns.mustExec([`${tool}-restore`, "--noflush"], { input: foreign });
    netns.mustExec(["nft", "add", "table", "inet", "theirs"]);
    const before = rulesIn(netns);
    await backend.apply(netns.fd, capture);
    assertHas(rulesIn(netns), before);
    assert.equal((await backend.apply(netns.fd, capture)).changed, false);
    const edit = editsOf(dialect, false)[0];
    assert.ok(edit);
    netns.mustExec(edit);
    await backend.apply(netns.fd, capture);
    assertHas(rulesIn(netns), before);
    assert.deepEqual(await backend.drift(netns.fd, capture), []);
    await backend.remove(netns.fd, capture);
    assert.deepEqual(rulesIn(netns), before);
  });
}

test("a lost policy rule and route are seen as drift and put back, and a second apply never doubles them", async () => {
  const backend = backendOf("iptables-nft");
  const capture = sidecarCase("tproxy");
  using netns = createNetns();
  await backend.apply(netns.fd, capture);
  const standing = rulesIn(netns);
  netns.mustExec(["ip", "rule", "del", "fwmark", "1337", "lookup", "133"]);
  netns.mustExec(["ip", "-6", "route", "flush", "table", "133"]);
  assert.deepEqual(await backend.drift(netns.fd, capture), [
    "the IPv4 policy rule to table 133 is missing",
    "the IPv6 route in table 133 is missing",
  ]);
  await backend.apply(netns.fd, capture);
  await backend.apply(netns.fd, capture);
  assert.deepEqual(await backend.drift(netns.fd, capture), []);
  assert.deepEqual(rulesIn(netns), standing);
});

test("a chain taken off its hook, a table put to sleep and a policy that lets nothing in are drift, and put right", async () => {
  const damages: Record<"iptables-nft" | "nftables", readonly string[]> = {
    "iptables-nft": [
      "add table ip nat { flags dormant; }",
      "flush chain ip nat OUTPUT; delete chain ip nat OUTPUT; add chain ip nat OUTPUT; add rule ip nat OUTPUT counter jump ISTIO_OUTPUT",
      "flush chain ip nat OUTPUT; delete chain ip nat OUTPUT; add chain ip nat OUTPUT { type nat hook output priority 50; }; add rule ip nat OUTPUT counter jump ISTIO_OUTPUT",
    ],
    nftables: [
      "add table inet istio-proxy-nat { flags dormant; }",
      "add chain inet istio-proxy-nat prerouting { policy drop; }",
      "flush chain inet istio-proxy-nat output; delete chain inet istio-proxy-nat output; add chain inet istio-proxy-nat output; add rule inet istio-proxy-nat output counter jump istio-output",
    ],
  };
  const capture = sidecarCase("dns");
  for (const dialect of ["iptables-nft", "nftables"] as const) {
    const backend = backendOf(dialect);
    using netns = createNetns();
    await backend.apply(netns.fd, capture);
    const list = () => netns.mustExec(["nft", "-s", "list", "ruleset"]).split("\n").toSorted();
    const whole = list();
    for (const damage of damages[dialect]) {
      netns.mustExec(["nft", "-f", "-"], { input: damage.replaceAll("; ", "\n").replaceAll(/\{ (.*?)\n/g, "{ $1; ") });
      const found = await backend.drift(netns.fd, capture);
      assert.equal(found.length, 1, `${damage}: ${found.join("; ")}`);
      assert.deepEqual((await backend.apply(netns.fd, capture)).repaired, found, damage);
      assert.deepEqual(list(), whole, damage);
      assert.equal((await backend.apply(netns.fd, capture)).changed, false, damage);
    }
  }
});

test("a table of iptables that holds a set, a chain or a policy of somebody else stays, and all of it", async () => {
  const backend = backendOf("iptables-nft");
  const capture = sidecarCase("default");
  for (const foreign of [
    ["add", "set", "ip", "nat", "theirs", "{ type ipv4_addr; }"],
    ["add", "chain", "ip", "nat", "THEIRS"],
    ["add", "counter", "ip", "nat", "theirs"],
    ["add", "chain", "ip", "nat", "INPUT", "{ type nat hook input priority 100; policy drop; }"],
  ]) {
    using netns = createNetns();
    netns.mustExec(["nft", "add", "table", "ip", "nat"]);
    netns.mustExec(["nft", ...foreign]);
    await backend.apply(netns.fd, capture);
    assert.equal(await backend.remove(netns.fd, capture), true);
    assert.match(netns.mustExec(["nft", "list", "ruleset"]), /theirs|THEIRS|policy drop/, foreign.join(" "));
    assert.doesNotMatch(netns.mustExec(["nft", "list", "ruleset"]), /ISTIO/, foreign.join(" "));
    assert.equal(await backend.remove(netns.fd, capture), false);
  }
});

test("an ambient pod is taken out of every dialect, with its routing, whatever of it is missing already (D13, D26)", async () => {
  const capture = ambientCase();
  for (const written of DIALECTS) {
    for (const by of DIALECTS) {
      using netns = createNetns();
      const before = [rulesIn(netns), ambientRouting(netns)];
      await backendOf(written).apply(netns.fd, capture);
      assert.equal(ambientRouting(netns).length, 4);
      netns.mustExec(["ip", "rule", "del", "fwmark", "0x111/0xfff", "lookup", "100"]);
      netns.mustExec(["ip", "-6", "route", "flush", "table", "100"]);
      assert.equal(await backendOf(by).remove(netns.fd, capture), true);
      assert.deepEqual([rulesIn(netns), ambientRouting(netns)], before, `${written} by ${by}`);
      if (written !== "iptables-legacy") assert.equal(netns.mustExec(["nft", "list", "ruleset"]), "");
      assert.equal(await backendOf(by).remove(netns.fd, capture), false);
    }
  }
});

test("the policy rule of one family that is there already keeps that of the other from nothing (D13), nor doubles", async () => {
  const backend = backendOf("iptables-nft");
  using netns = createNetns();
  netns.mustExec(["ip", "rule", "add", "fwmark", "0x111/0xfff", "lookup", "100", "pref", "32764"]);
  await backend.apply(netns.fd, ambientCase());
  await backend.apply(netns.fd, ambientCase());
  assert.equal(ambientRouting(netns).length, 4);
  assert.deepEqual(await backend.drift(netns.fd, ambientCase()), []);
});

test("removal goes on where one dialect cannot, and a retry has the rest to do (D12)", async () => {
  using netns = createNetns();
  const capture = ambientCase();
  await backendOf("iptables-legacy").apply(netns.fd, capture);
  const isBroken = (program: string) => program === "ip6tables-legacy-restore";
  let broken = true;
  const backend = backendOf("iptables-legacy", {
    findProgram: (name) => (broken && isBroken(name) ? "/bin/false" : findProgram(name)),
  });
  await assert.rejects(backend.remove(netns.fd, capture), /false/);
  assert.deepEqual(ambientRouting(netns), []);
  broken = false;
  assert.equal(await backend.remove(netns.fd, capture), true);
  assert.deepEqual(rulesIn(netns), []);
});

test("an ambient pod with its own user namespace needs no other dialect, and a sidecar's rules give way to an ambient capture", async () => {
  const inOwnUsers = { belongsToOtherUsers: () => true };
  using netns = createNetns();
  assert.equal((await backendOf("iptables-nft", inOwnUsers).apply(netns.fd, ambientCase())).dialect, "iptables-nft");
  for (const dialect of DIALECTS) {
    using pod = createNetns();
    const backend = backendOf(dialect);
    await backend.apply(pod.fd, sidecarCase("tproxy"));
    await backend.apply(pod.fd, ambientCase(), { formerly: sidecarCase("tproxy") });
    assert.deepEqual(await backend.drift(pod.fd, ambientCase()), []);
    using fresh = createNetns();
    await backend.apply(fresh.fd, ambientCase());
    assert.deepEqual(rulesIn(pod).toSorted(), rulesIn(fresh).toSorted());
  }
});

test("routing by our marks that this capture does not need goes; a route that another rule looks up stays", async () => {
  const backend = backendOf("iptables-nft");
  using netns = createNetns();
  await backend.apply(netns.fd, sidecarCase("tproxy"));
  netns.mustExec(["ip", "rule", "add", "fwmark", "1337", "lookup", "133", "priority", "200"]);
  netns.mustExec(["ip", "-6", "rule", "add", "from", "fd00::1", "lookup", "133"]);
  const left = [
    "the IPv4 policy rule to table 133 is left over",
    "the IPv4 policy rule to table 133 is left over",
    "the IPv6 policy rule to table 133 is left over",
    "the IPv4 route in table 133 is left over",
  ];
  const found = await backend.drift(netns.fd, sidecarCase("default"));
  assert.deepEqual(
    found.filter((sentence) => sentence.includes("133")),
    left,
  );
  assert.deepEqual((await backend.apply(netns.fd, sidecarCase("default"))).repaired, found);
  assert.deepEqual(await backend.drift(netns.fd, sidecarCase("default")), []);
  assert.equal(netns.mustExec(["ip", "-4", "route", "show", "table", "133"]), "");
  assert.match(netns.mustExec(["ip", "-6", "route", "show", "table", "133"]), /local default dev lo/);
  assert.match(netns.mustExec(["ip", "-6", "rule"]), /from fd00::1 lookup 133/);
});

test("a namespace whose IPv6 is switched off is captured without it, and with it once it is on", async () => {
  for (const dialect of ["iptables-nft", "nftables"] as const) {
    const backend = backendOf(dialect);
    const capture = sidecarCase("tproxy");
    using netns = createNetns();
    const disable = (value: number) => netns.mustExec(["sysctl", "-qw", `net.ipv6.conf.all.disable_ipv6=${value}`]);
    disable(1);
    assert.equal((await backend.apply(netns.fd, capture)).changed, true);
    assert.deepEqual(await backend.drift(netns.fd, capture), []);
    disable(0);
    assert.ok((await backend.drift(netns.fd, capture)).includes("the address ::6/128 of lo is missing"));
    await backend.apply(netns.fd, capture);
    assert.deepEqual(await backend.drift(netns.fd, capture), []);
    assert.match(netns.mustExec(["ip", "-6", "addr", "show", "dev", "lo"]), /::6\/128/);
  }
});

test("what another mode of interception left behind goes with the change and with the removal", async () => {
  for (const dialect of DIALECTS) {
    const backend = backendOf(dialect);
    using netns = createNetns();
    const before = rulesIn(netns);
    await backend.apply(netns.fd, sidecarCase("tproxy"));
    await backend.apply(netns.fd, sidecarCase("default"));
    using fresh = createNetns();
    await backend.apply(fresh.fd, sidecarCase("default"));
    assert.deepEqual(withoutRouting(rulesIn(netns)), withoutRouting(rulesIn(fresh)));
    await backend.remove(netns.fd, sidecarCase("default"));
    assert.deepEqual(rulesIn(netns), before);
  }
});

test("nothing is executed for a fresh sandbox in either dialect of nf_tables, and no legacy table comes into being anywhere", async () => {
  for (const dialect of ["iptables-nft", "nftables"] as const) {
    const executed: string[] = [];
    const backend = backendOf(dialect, { executed });
    using netns = createNetns();
    await backend.apply(netns.fd, sidecarCase("tproxy-dns-drop-invalid"));
    await backend.drift(netns.fd, sidecarCase("tproxy-dns-drop-invalid"));
    await backend.remove(netns.fd, sidecarCase("tproxy-dns-drop-invalid"));
    assert.deepEqual(executed, []);
    assert.deepEqual(readLegacyTables(netns.fd), { 4: [], 6: [] });
  }
});

test("calls for one namespace that come at once are carried out one after the other", async () => {
  for (const dialect of DIALECTS) {
    const backend = backendOf(dialect);
    const capture = sidecarCase("default");
    using netns = createNetns();
    const results = await Promise.all(Array.from({ length: 4 }, () => backend.apply(netns.fd, capture)));
    assert.deepEqual(
      results.map(({ changed }) => changed),
      [true, false, false, false],
    );
  }
});

/** Policy rules and routes of an ambient capture. */
function ambientRouting(netns: TestNetns): string[] {
  return ["-4", "-6"].flatMap((family) => [
    ...netns
      .mustExec(["ip", family, "rule"])
      .split("\n")
      .filter((line) => line.includes("0x111")),
    ...netns
      .mustExec(["ip", family, "route", "show", "table", "all"])
      .split("\n")
      .filter((line) => line.includes("table 100")),
  ]);
}

/** What somebody may do to the rules by hand. */
function editsOf(dialect: BackendDialect, v6Only: boolean, prefix = "istio-proxy"): string[][] {
  if (dialect === "nftables") {
    return [
      ["nft", "flush", "chain", "inet", `${prefix}-nat`, "istio-output"],
      ["nft", "insert", "rule", "inet", `${prefix}-nat`, "istio-output", "tcp", "dport", "1-1024", "return"],
      ["nft", "flush", "chain", "inet", `${prefix}-nat`, "output"],
      ["nft", "delete", "table", "inet", `${prefix}-raw`],
      ["nft", "flush", "ruleset"],
    ];
  }
  const suffix = dialect === "iptables-legacy" ? "legacy" : "nft";
  const nat = [`${v6Only ? "ip6tables" : "iptables"}-${suffix}`, "-t", "nat"];
  return [
    [...nat, "-F", "ISTIO_OUTPUT"],
    [...nat, "-I", "ISTIO_OUTPUT", "1", "-p", "tcp", "--dport", "1:1024", "-j", "RETURN"],
    [...nat, "-D", "OUTPUT", "-j", "ISTIO_OUTPUT"],
    [...nat, "-A", "OUTPUT", "-j", "ISTIO_OUTPUT"],
    [...nat, "-N", "ISTIO_STRANGE"],
    [...nat, "-F"],
  ];
}

function assertHas(lines: readonly string[], wanted: readonly string[]): void {
  for (const line of wanted) assert.ok(lines.includes(line), line);
}

function withoutRouting(lines: readonly string[]): string[] {
  return lines.filter((line) => !line.includes("fwmark")).toSorted();
}
