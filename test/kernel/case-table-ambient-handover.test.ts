// A pod that upstream's agent captured is ours without a change, and ours is upstream's: its rules, written from contract
// 7.6 to 7.8 in upstream's own words, through the tools that upstream executes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FAMILIES, type Family } from "../../src/core/address.ts";
import type { BackendDialect } from "../../src/core/policy/backend-features.ts";
import type { AmbientCapture } from "../../src/core/rules/ambient-capture.ts";
import { AMBIENT_CASES } from "../../testbed/ambient/ambient-cases.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { backendOf, DIALECTS, generationOf } from "./backend-fixture.ts";

type Line = { readonly table: "mangle" | "nat" | "raw"; readonly rule: string };

const P = { 4: "169.254.7.127", 6: "fd16:9254:7127:1337:ffff:ffff:ffff:ffff" } as const;
const L = { 4: "127.0.0.1/32", 6: "::1/128" } as const;

/** The lines of the first table of 7.6 in their order. */
function upstreamIptables({ captureInbound, captureDns, virtualInterfaces }: AmbientCapture, family: Family): Line[] {
  const [p, l] = [P[family], L[family]];
  const when = (condition: boolean, ...lines: [Line["table"], string][]): [Line["table"], string][] =>
    condition ? lines : [];
  const lines: [Line["table"], string][] = [
    ["mangle", "PREROUTING -j ISTIO_PRERT"],
    ["mangle", "OUTPUT -j ISTIO_OUTPUT"],
    ["nat", "OUTPUT -j ISTIO_OUTPUT"],
    ...when(captureDns, ["raw", "PREROUTING -j ISTIO_PRERT"], ["raw", "OUTPUT -j ISTIO_OUTPUT"]),
    ["nat", "PREROUTING -j ISTIO_PRERT"],
    ...virtualInterfaces.flatMap((name): [Line["table"], string][] => [
      ["nat", `ISTIO_PRERT -i ${name} -p tcp -j REDIRECT --to-ports 15001`],
      ["nat", `ISTIO_PRERT -i ${name} -p tcp -j RETURN`],
    ]),
    ["mangle", "ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff"],
    ...when(captureInbound, ["nat", `ISTIO_PRERT -s ${p} -p tcp -m tcp -j ACCEPT`]),
    ["nat", `ISTIO_OUTPUT -d ${p} -p tcp -m tcp -j ACCEPT`],
    ...when(captureInbound, [
      "nat",
      `ISTIO_PRERT ! -d ${l} -p tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006`,
    ]),
    [
      "mangle",
      "ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff",
    ],
    ...when(
      captureDns,
      ["nat", "ISTIO_OUTPUT ! -o lo -p udp -m mark ! --mark 0x539/0xfff -m udp --dport 53 -j REDIRECT --to-port 15053"],
      ["nat", `ISTIO_OUTPUT ! -d ${l} -p tcp --dport 53 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15053`],
      ["raw", "ISTIO_OUTPUT -p udp -m mark --mark 0x539/0xfff -m udp --dport 53 -j CT --zone 1"],
      ["raw", "ISTIO_PRERT -p udp -m mark ! --mark 0x539/0xfff -m udp --sport 53 -j CT --zone 1"],
    ),
    ["nat", "ISTIO_OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT"],
    ["nat", `ISTIO_OUTPUT ! -d ${l} -o lo -j ACCEPT`],
    ["nat", `ISTIO_OUTPUT ! -d ${l} -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001`],
  ];
  return lines.map(([table, rule]) => ({ table, rule }));
}

/** The second table of 7.6, as one transaction of nft. Upstream writes IPv6 with AMBIENT_IPV6 only. */
function upstreamNft({ captureInbound, captureDns, virtualInterfaces, families }: AmbientCapture): string {
  const hooks = (kind: "nat" | "filter", output: string, priority: number) => [
    `chain prerouting { type ${kind} hook prerouting priority ${priority}; jump istio-prerouting; }`,
    `chain output { type ${output} hook output priority ${priority}; jump istio-output; }`,
  ];
  const v6 = (...rules: string[]): string[] => (families.v6 ? rules : []);
  const inbound = (...rules: string[]): string[] => (captureInbound ? rules : []);
  const dns = (...rules: string[]): string[] => (captureDns ? rules : []);
  const table = (name: string, base: string[], prerouting: string[], output: string[]): string =>
    [
      `table inet istio-ambient-${name} {`,
      `chain istio-prerouting { ${prerouting.join("; ")}; }`,
      `chain istio-output { ${output.join("; ")}; }`,
      ...base,
      "}",
    ].join("\n");
  const mark = "mark and 0xfff != 0x539 counter redirect to";
  const nat = table(
    "nat",
    hooks("nat", "nat", -100),
    [
      ...virtualInterfaces.flatMap((name) => [
        `iifname ${name} meta l4proto tcp counter redirect to :15001`,
        `iifname ${name} meta l4proto tcp counter return`,
      ]),
      ...inbound(`meta l4proto tcp ip saddr ${P[4]} counter accept`),
      ...inbound(...v6(`meta l4proto tcp ip6 saddr ${P[6]} counter accept`)),
      ...inbound(`ip daddr != ${L[4]} tcp dport != 15008 ${mark} :15006`),
      ...inbound(...v6(`ip6 daddr != ${L[6]} tcp dport != 15008 ${mark} :15006`)),
    ],
    [
      `meta l4proto tcp ip daddr ${P[4]} counter accept`,
      ...v6(`meta l4proto tcp ip6 daddr ${P[6]} counter accept`),
      ...dns("oifname != lo mark and 0xfff != 0x539 udp dport 53 counter redirect to :15053"),
      ...dns(`ip daddr != ${L[4]} tcp dport 53 ${mark} :15053`),
      ...dns(...v6(`ip6 daddr != ${L[6]} tcp dport 53 ${mark} :15053`)),
      "meta l4proto tcp mark and 0xfff == 0x111 counter accept",
      `oifname lo ip daddr != ${L[4]} counter accept`,
      ...v6(`oifname lo ip6 daddr != ${L[6]} counter accept`),
      `meta l4proto tcp ip daddr != ${L[4]} ${mark} :15001`,
      ...v6(`meta l4proto tcp ip6 daddr != ${L[6]} ${mark} :15001`),
    ],
  );
  const mangle = table(
    "mangle",
    hooks("filter", "route", -150),
    ["meta mark & 0xfff == 0x539 counter ct mark set ct mark & 0xfffff000 | 0x111"],
    ["ct mark and 0xfff == 0x111 counter meta mark set ct mark"],
  );
  const raw = table(
    "raw",
    hooks("filter", "filter", -300),
    ["udp sport 53 meta mark and 0xfff != 0x539 counter ct zone set 1"],
    ["udp dport 53 meta mark and 0xfff == 0x539 counter ct zone set 1"],
  );
  return [nat, mangle, ...dns(raw), ""].join("\n");
}

function familiesOf({ families }: AmbientCapture): Family[] {
  return FAMILIES.filter((family) => (family === 4 ? families.v4 : families.v6));
}

/** What upstream's agent does, by the programs it runs or their equal (7.6, 7.7). */
function captureAsUpstream(netns: TestNetns, dialect: BackendDialect, capture: AmbientCapture): void {
  for (const family of familiesOf(capture)) {
    const everything = family === 4 ? "0.0.0.0/0" : "::/0";
    netns.mustExec(["ip", `-${family}`, "route", "replace", "local", everything, "dev", "lo", "table", "100"]);
    const rule = ["fwmark", "0x111/0xfff", "lookup", "100", "pref", "32764"];
    netns.mustExec(["ip", `-${family}`, "rule", "add", ...rule]);
    if (dialect === "nftables") continue;
    const lines = upstreamIptables(capture, family);
    const text = (["mangle", "nat", "raw"] as const).flatMap((table) => {
      const own = lines.filter((line) => line.table === table);
      if (own.length === 0) return [];
      return [
        `* ${table}`,
        "-N ISTIO_PRERT",
        "-N ISTIO_OUTPUT",
        ...own.map(({ rule: each }) => `-A ${each}`),
        "COMMIT",
      ];
    });
    netns.mustExec([`${toolOf(dialect, family)}-restore`, "--noflush"], { input: `${text.join("\n")}\n` });
  }
  if (dialect === "nftables") netns.mustExec(["nft", "-f", "-"], { input: upstreamNft(capture) });
}

function toolOf(dialect: BackendDialect, family: Family): string {
  return `${family === 4 ? "iptables" : "ip6tables"}-${dialect === "iptables-legacy" ? "legacy" : "nft"}`;
}

for (const dialect of DIALECTS) {
  test(`${dialect}: what upstream's agent wrote is ours as it stands, in every case`, async () => {
    for (const [name, capture] of Object.entries(AMBIENT_CASES)) {
      // Where upstream's nft agent captures IPv4 only, it still redirects DNS and guests of IPv6: that we change (below).
      if (dialect === "nftables" && !(capture.families.v4 && capture.families.v6)) continue;
      using netns = createNetns();
      captureAsUpstream(netns, dialect, capture);
      const backend = backendOf(dialect);
      const generation = generationOf(netns);
      assert.deepEqual(await backend.drift(netns.fd, capture), [], name);
      const applied = await backend.apply(netns.fd, capture);
      assert.deepEqual(applied, { dialect, changed: false, replaced: [], repaired: [] }, name);
      assert.equal(generationOf(netns), generation, name);
      assert.equal(await backend.remove(netns.fd, capture), true);
      using fresh = createNetns();
      assert.equal(told(netns), told(fresh), name);
    }
  });
}

for (const dialect of ["iptables-nft", "iptables-legacy"] as const) {
  test(`${dialect}: upstream's check finds every rule of its own in what we wrote, in every case`, async () => {
    for (const [name, capture] of Object.entries(AMBIENT_CASES)) {
      using netns = createNetns();
      await backendOf(dialect).apply(netns.fd, capture);
      for (const family of familiesOf(capture)) {
        for (const { table, rule } of upstreamIptables(capture, family)) {
          const done = netns.exec([toolOf(dialect, family), "-t", table, "-C", ...rule.split(" ")]);
          assert.equal(done.status, 0, `${name} IPv${family}: ${table} ${rule}: ${done.stderr}`);
        }
        // It counts the rules of each chain, too (5.9).
        const save = netns.mustExec([`${toolOf(dialect, family)}-save`]);
        const ours = save.split("\n").filter((line) => line.startsWith("-A"));
        assert.equal(ours.length, upstreamIptables(capture, family).length, name);
      }
    }
  });
}

test("nftables: an IPv4 capture of upstream's, which redirects DNS and guests of IPv6 as well, is made one of IPv4", async () => {
  const capture = AMBIENT_CASES["v4-all"] ?? assert.fail();
  using netns = createNetns();
  captureAsUpstream(netns, "nftables", capture);
  const backend = backendOf("nftables");
  assert.notDeepEqual(await backend.drift(netns.fd, capture), []);
  assert.equal((await backend.apply(netns.fd, capture)).changed, true);
  assert.deepEqual(await backend.drift(netns.fd, capture), []);
  const redirects = netns.mustExec(["nft", "list", "ruleset"]).split("\n");
  for (const line of redirects.filter((each) => each.includes("redirect to")))
    assert.match(line, /ip daddr|nfproto ipv4/);
});

function told(netns: TestNetns): string {
  const rules = netns.mustExec(["nft", "list", "ruleset"]);
  const routing = ["-4", "-6"].map((family) => [
    netns.mustExec(["ip", family, "rule"]),
    netns.exec(["ip", family, "route", "show", "table", "100"]).stdout,
  ]);
  return [rules, ...routing.flat()].join("\n");
}
